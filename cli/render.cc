#include "cli/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/display_width.h"
#include "cli/render_words.h"
#include "common/text.h"

namespace dicom_sender {
namespace {

using namespace words;
using std::chrono::seconds;

constexpr std::size_t kBarMin = 10, kBarMax = 40;

// "0:05", "12:34", "1:02:03"
std::string Clock(Duration duration) {
  const auto whole = std::chrono::duration_cast<seconds>(duration).count();
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::uint64_t Percent(const ProgressView& view) { return view.total() == 0 ? 0 : view.stored * 100 / view.total(); }

std::optional<Duration> TimeLeftOf(const ProgressView& view, const std::optional<Rate>& rate) {
  return view.total_known ? TimeLeft(view.pending, view.bytes_pending, rate) : std::nullopt;
}

std::string RateText(const std::optional<Rate>& rate) {
  if (!rate) return "- files/s";
  return fmt::format("{} files/s, {} MiB/s", Figure(rate->instances_per_second),
                     Figure(rate->bytes_per_second / 1048576));
}

std::string IgnoredWords(const std::string& reason) {
  if (reason == "not_dicom") return "not DICOM";
  if (reason == "dicomdir") return "DICOMDIR";
  if (reason == "unreadable_folder") return "unreadable folders";
  return ToPrintable(reason);
}

std::string IgnoredText(const std::map<std::string, std::uint64_t>& ignored) {
  std::uint64_t total = 0;
  std::vector<std::string> parts;
  for (const auto& [reason, files] : ignored) {
    if (files == 0) continue;
    total += files;
    parts.push_back(fmt::format("{} {}", files, IgnoredWords(reason)));
  }
  return total == 0 ? "" : fmt::format("Ignored {}: {}\n", Files(total), fmt::join(parts, ", "));
}

std::string StudyName(const std::string& uid) { return uid.empty() ? "(no Study Instance UID)" : ToPrintable(uid); }

std::vector<std::string> CountLines(const std::vector<PlanCount>& counts) {
  std::vector<std::string> lines;
  lines.reserve(counts.size());
  for (const PlanCount& count : counts) lines.push_back(fmt::format("{}: {}", count.name, Files(count.files)));
  return lines;
}

std::string PlanList(const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string out = fmt::format("  {}\n", title);
  for (std::size_t i = 0; i < std::min(lines.size(), kPlanLinesMax); ++i) {
    out += fmt::format("    {}\n", ToPrintable(lines[i]));
  }
  if (lines.size() > kPlanLinesMax) out += fmt::format("    and {} more\n", lines.size() - kPlanLinesMax);
  return out;
}

// Returns an empty string if a bar does not fit.
std::string Bar(const ProgressView& view, std::size_t room, const TerminalStyle& style) {
  if (room < kBarMin + 3) return "";
  const std::size_t width = std::min(room - 3, kBarMax);
  const auto full = view.total() == 0 ? 0 : view.stored * width / view.total();
  std::string bar = "[";
  for (std::size_t i = 0; i < width; ++i) bar += i < full ? (style.utf8 ? "█" : "#") : (style.utf8 ? "░" : ".");
  return bar + "] ";
}

// Quotes for bash and similar shells, if necessary. Control characters are written as $'\x1b', so that none reaches
// the terminal.
std::string ShellQuoted(const std::string& text) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-+=:,@%").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) return text;
  const bool printable = ToPrintable(text) == text;
  std::string out = printable ? "'" : "$'";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (printable) {
      out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    } else if (c == '\'' || c == '\\') {
      out += std::string("\\") + c;
    } else {
      out += byte < 0x20 || byte > 0x7E ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
    }
  }
  return out + "'";
}

}  // namespace

std::string RenderSession(const SessionView& view) {
  std::string out = fmt::format("Session      {}{}\n", ToPrintable(view.session), view.resumed ? " (resumed)" : "");
  if (!view.destination.empty()) {
    out += fmt::format("Destination  {} (calling AE title {})\n", ToPrintable(view.destination),
                       ToPrintable(view.calling_ae));
  }
  if (!view.log_file.empty()) out += fmt::format("Log          {}\n", ToPrintable(view.log_file));
  if (!view.scan_time.empty()) {
    out += fmt::format("Scan         using the scan of {}; --new scans again\n", ToPrintable(view.scan_time));
  }
  return out;
}

std::string RenderIndexing(const IndexingView& view) {
  const std::string compared =
      view.compared > 0 ? fmt::format(", {} compared", Counted(view.compared, "copy", "copies")) : "";
  return fmt::format("Indexing ... {}, {} of them DICOM{}, {}", Files(view.files), view.found, compared,
                     Clock(view.elapsed));
}

std::string RenderFound(const FoundView& view) {
  std::string out = fmt::format("Found {}, grouped into {} ({})\n", Files(view.files), Studies(view.studies),
                                FormatBytes(view.bytes));
  const std::size_t shown = std::min(view.first_studies.size(), kStudyLinesMax);
  for (std::size_t i = 0; i < shown; ++i) {
    const StudyLine& study = view.first_studies[i];
    out += fmt::format("  {}: {}\n", StudyName(study.study_instance_uid), Files(study.files));
  }
  if (view.studies > shown) out += fmt::format("  and {} more\n", view.studies - shown);
  return out + IgnoredText(view.ignored);
}

std::string RenderPlan(const PlanView& view) {
  std::string out = RenderFound(view.found);
  out += "\nPlan\n";
  const auto row = [&out](const char* label, const std::string& value) {
    out += fmt::format("  {:<11}{}\n", label, value);
  };
  row("Send", fmt::format("{}, {}", Instances(view.to_send), FormatBytes(view.bytes_to_send)));
  if (!view.destination.empty()) row("To", ToPrintable(view.destination));
  if (view.broken > 0) row("Fail", fmt::format("{}: broken or incomplete", Files(view.broken)));
  if (view.duplicates > 0) {
    row("Skip", fmt::format("{}: duplicates of other files", Files(view.duplicates)));
  }
  if (view.conflicts > 0) {
    row("Conflict",
        fmt::format("{}: the same SOP Instance UID as another file, but not its dataset", Files(view.conflicts)));
  }
  if (view.associations > 0) row("Over", Counted(view.associations, "association", "associations"));
  out += PlanList("SOP classes", CountLines(view.sop_classes));
  out += PlanList("Transfer syntaxes", CountLines(view.transfer_syntaxes));
  std::vector<std::string> contexts;
  for (const PlanContext& context : view.contexts) {
    contexts.push_back(fmt::format("{}: {}", context.sop_class, fmt::join(context.transfer_syntaxes, ", ")));
  }
  return out + PlanList("Presentation contexts, proposed for each study as far as it needs them", contexts);
}

std::string RenderProgressBar(const ProgressView& view, const std::optional<Rate>& rate, const TerminalStyle& style) {
  const std::size_t columns = style.columns > 1 ? style.columns - 1 : 1;
  std::string tail = view.total_known ? fmt::format("{:>3}%  {}/{}", Percent(view), view.stored, view.total())
                                      : fmt::format("{} of {} found so far", view.stored, view.total());
  if (!view.note.empty()) {
    tail += fmt::format("  {}", ToPrintable(view.note));
  } else {
    tail += fmt::format("  {}", RateText(rate));
    const auto left = TimeLeftOf(view, rate);
    if (view.total_known) tail += fmt::format("  ETA {}", left ? Clock(*left) : "-");
  }
  const std::string head = Clock(view.elapsed) + " ";
  const std::string failed = view.failed > 0 ? fmt::format("  {} failed", view.failed) : "";
  const std::size_t used = Columns(head) + Columns(tail) + Columns(failed);
  const std::string bar = used < columns && view.total_known ? Bar(view, columns - used, style) : "";
  const std::string whole = head + bar + tail;
  if (Columns(whole) + Columns(failed) > columns) return ClipToColumns(whole + failed, columns);
  return failed.empty() ? whole : whole + Colored(failed, kRed, style);
}

std::string RenderProgressLine(const ProgressView& view, const std::optional<Rate>& rate) {
  std::string out = Clock(view.elapsed) + "  ";
  out += view.total_known ? fmt::format("{}/{} ({}%)", view.stored, view.total(), Percent(view))
                          : fmt::format("{} of {} found so far", view.stored, view.total());
  out += fmt::format(", {}", RateText(rate));
  if (const auto left = TimeLeftOf(view, rate)) out += fmt::format(", ETA {}", Clock(*left));
  if (view.failed > 0) out += fmt::format(", {} failed", view.failed);
  out += fmt::format(", {}", Counted(view.associations, "association", "associations"));
  if (!view.note.empty()) out += fmt::format("; {}", ToPrintable(view.note));
  return out + "\n";
}

std::string RenderInstance(const InstanceView& view, const TerminalStyle& style) {
  const auto [word, color] = [&]() -> std::pair<const char*, const char*> {
    switch (view.result) {
      case InstanceResult::kStored:
        return {"stored", kGreen};
      case InstanceResult::kStoredWithWarning:
        return {"warning", kYellow};
      case InstanceResult::kDelayed:
        return {"delayed", kYellow};
      default:
        return {"failed", kRed};
    }
  }();
  const std::string detail = view.detail.empty() ? "" : fmt::format(": {}", ToPrintable(view.detail));
  return fmt::format("[{}] {} {}{} ({})\n", view.thread, Colored(fmt::format("{:<7}", word), color, style),
                     ToPrintable(view.path), detail, Milliseconds(view.duration));
}

std::string RenderWarning(std::string_view sentence, const TerminalStyle& style) {
  return fmt::format("{} {}\n", Colored("Warning:", kYellow, style), ToPrintable(sentence));
}

std::string RenderEcho(const EchoView& view, const TerminalStyle& style) {
  const std::string result =
      view.failure.empty() ? Colored("success", kGreen, style) : Colored("failed", kRed, style);
  return fmt::format("C-ECHO to {} as {}: {}{} ({})\n", ToPrintable(view.destination), ToPrintable(view.calling_ae),
                     result, view.failure.empty() ? "" : fmt::format(": {}", ToPrintable(view.failure)),
                     Milliseconds(view.duration));
}

std::string ResumeCommand(const std::string& session, const std::string& output_dir, bool retry_failed) {
  std::string command = "dicom-sender --resume";
  if (!session.empty()) command += " " + ShellQuoted(session);
  if (retry_failed) command += " --retry-failed";
  if (output_dir != ".") command += fmt::format(" --output-dir {}", ShellQuoted(output_dir));
  return command;
}

std::string RenderResume(const std::string& session, const std::string& output_dir, bool retry_failed) {
  return fmt::format(
      "{}:\n  {}\n",
      retry_failed ? "To retry what failed, except for files that the scan found defective" : "To resume",
      ResumeCommand(session, output_dir, retry_failed));
}

std::string ToAscii(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) out += c;
    if (byte >= 0xC0) out += '?';  // the first byte of a multi-byte character
  }
  return out;
}

}  // namespace dicom_sender
