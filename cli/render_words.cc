#include "cli/render_words.h"

#include <fmt/format.h>

#include "common/text.h"

namespace dicom_sender::words {

std::string Colored(std::string text, const char* code, const TerminalStyle& style) {
  return style.color ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

std::string Counted(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}
std::string Files(std::uint64_t count) { return Counted(count, "file", "files"); }
std::string Studies(std::uint64_t count) { return Counted(count, "study", "studies"); }
std::string Instances(std::uint64_t count) { return Counted(count, "instance", "instances"); }

std::string Figure(double value) { return fmt::format("{:.{}f}", value, value < 99.95 ? 1 : 0); }

std::string Milliseconds(Duration duration) {
  const double ms = std::chrono::duration<double, std::milli>(duration).count();
  if (ms < 9.95) return fmt::format("{:.1f} ms", ms);
  return ms < 999.5 ? fmt::format("{:.0f} ms", ms) : FormatDuration(duration);
}

}  // namespace dicom_sender::words
