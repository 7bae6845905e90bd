// Renders the summary at the end of a session.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "cli/render.h"
#include "cli/render_words.h"
#include "common/text.h"

namespace dicom_sender {
namespace {

using namespace words;

std::string NotReadText(const SummaryView& view) {
  std::vector<std::string> parts;
  if (view.not_read_files > 0) parts.push_back(Files(view.not_read_files));
  if (view.not_read_folders > 0) parts.push_back(Counted(view.not_read_folders, "folder", "folders"));
  return fmt::format("{}", fmt::join(parts, " and "));
}

// Lists what did not arrive in a session that has ended by itself. Empty if everything arrived.
std::string ProblemsText(const SummaryView& view) {
  std::vector<std::string> parts;
  if (view.failed > 0) parts.push_back(fmt::format("{} of {} failed", view.failed, Instances(view.total)));
  if (view.conflicts > 0) parts.push_back(Counted(view.conflicts, "conflict", "conflicts"));
  if (const std::string not_read = NotReadText(view); !not_read.empty()) parts.push_back(not_read + " NOT READ");
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string Headline(const SummaryView& view, const TerminalStyle& style) {
  const auto line = [&](const char* emoji, const std::string& text, const char* color) {
    return (style.emoji() ? std::string(emoji) + " " : "") + Colored(text, color, style) + "\n";
  };
  switch (view.end) {
    case SessionEnd::kInterrupted:
      if (!view.end_reason.empty()) {
        return line("🛑", fmt::format("Ended early: {}", ToPrintable(view.end_reason)), kYellow);
      }
      return line("🛑", fmt::format("Interrupted: {} of {} not sent yet", view.pending, Instances(view.total)),
                  kYellow);
    case SessionEnd::kUnreachable:
      return line("❌", fmt::format("Gave up: {}", ToPrintable(view.end_reason)), kRed);
    case SessionEnd::kRefused:
      return line("❌", fmt::format("Refused: {}", ToPrintable(view.end_reason)), kRed);
    case SessionEnd::kComplete:
      break;
  }
  if (const std::string problems = ProblemsText(view); !problems.empty()) return line("❌", problems, kRed);
  if (view.total == 0) return line("❗", "No DICOM files were found", kYellow);
  return line("✅", fmt::format("Complete: {} stored", Instances(view.successful)), kGreen);
}

std::string FailureTable(const SummaryView& view) {
  if (view.failure_reasons.empty()) return "";
  std::string out = "Failures by reason\n";
  const std::size_t shown = std::min(view.failure_reasons.size(), kFailureReasonsMax);
  for (std::size_t i = 0; i < shown; ++i) {
    out +=
        fmt::format("{:>10}  {}\n", view.failure_reasons[i].instances, ToPrintable(view.failure_reasons[i].reason));
  }
  const std::uint64_t more = view.other_failure_reasons + view.failure_reasons.size() - shown;
  if (more > 0) out += fmt::format("            and {}\n", Counted(more, "more reason", "more reasons"));
  return out;
}

}  // namespace

std::string RenderSummary(const SummaryView& view, const TerminalStyle& style) {
  std::string out = fmt::format("\n{}", Headline(view, style));
  const auto row = [&out](const char* label, const std::string& value) {
    out += fmt::format("  {:<12}{}\n", label, value);
  };
  const auto count = [&](std::uint64_t value, const char* color) {
    return value > 0 ? Colored(std::to_string(value), color, style) : "0";
  };
  row("Session", ToPrintable(view.session));
  row("Destination",
      fmt::format("{} (calling AE title {})", ToPrintable(view.destination), ToPrintable(view.calling_ae)));
  row("Total", Files(view.total));
  row("Successful", count(view.successful, kGreen));
  row("Failed", count(view.failed, kRed));
  row("Skipped", std::to_string(view.skipped));
  if (view.conflicts > 0) {
    row("Conflicts",
        fmt::format("{} of the skipped: the same SOP Instance UID as a file that was sent, but not its dataset",
                    count(view.conflicts, kRed)));
  }
  if (const std::string not_read = NotReadText(view); !not_read.empty()) {
    row("NOT READ", Colored(not_read, kRed, style));
  }
  if (view.pending > 0) row("Pending", count(view.pending, kYellow));
  row("Warnings", count(view.warnings, kYellow));
  if (view.ignored > 0) row("Ignored", Files(view.ignored));
  row("Size", FormatBytes(view.bytes));
  row("Time", FormatDuration(view.elapsed));
  if (view.successful > 0) row("Average", Milliseconds(view.average) + " per instance");
  row("Throughput", Figure(view.mib_per_second) + " MiB/s");
  row("Threads", std::to_string(view.threads));
  row("Studies", fmt::format("{}, over {}", view.studies, Counted(view.associations, "association", "associations")));
  if (view.retries > 0) row("Retries", std::to_string(view.retries));
  if (!view.log_file.empty()) row("Log", ToPrintable(view.log_file));
  if (!view.summary_file.empty()) row("JSON", ToPrintable(view.summary_file));
  if (!view.failures_file.empty()) row("Failures", ToPrintable(view.failures_file));
  return out + FailureTable(view);
}

}  // namespace dicom_sender
