#include "cli/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/display_width.h"
#include "common/text.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;

constexpr std::size_t kBarMin = 10, kBarMax = 40;

constexpr const char* kRed = "31";
constexpr const char* kGreen = "32";
constexpr const char* kYellow = "33";

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string Coloured(std::string text, const char* code, const TerminalStyle& style) {
  return style.colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

std::string Counted(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}
std::string Files(std::uint64_t count) { return Counted(count, "file", "files"); }
std::string Studies(std::uint64_t count) { return Counted(count, "study", "studies"); }
std::string Instances(std::uint64_t count) { return Counted(count, "instance", "instances"); }

// "0:05", "12:34", "1:02:03"
std::string Clock(Duration duration) {
  const auto whole = std::chrono::duration_cast<seconds>(duration).count();
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string Figure(double value) { return fmt::format("{:.{}f}", value, value < 99.95 ? 1 : 0); }

std::string Milliseconds(Duration duration) {
  const double ms = Seconds(duration) * 1000;
  if (ms < 9.95) return fmt::format("{:.1f} ms", ms);
  return ms < 999.5 ? fmt::format("{:.0f} ms", ms) : FormatDuration(duration);
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

// Where a bar does not fit, there is none.
std::string Bar(const ProgressView& view, std::size_t room, const TerminalStyle& style) {
  if (room < kBarMin + 3) return "";
  const std::size_t width = std::min(room - 3, kBarMax);
  const auto full = view.total() == 0 ? 0 : view.stored * width / view.total();
  std::string bar = "[";
  for (std::size_t i = 0; i < width; ++i) bar += i < full ? (style.utf8 ? "█" : "#") : (style.utf8 ? "░" : ".");
  return bar + "] ";
}

// For bash and its like; plain where nothing needs quotes. What could obey a terminal is in $'\x1b'.
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

std::string NotReadText(const SummaryView& view) {
  std::vector<std::string> parts;
  if (view.not_read_files > 0) parts.push_back(Files(view.not_read_files));
  if (view.not_read_folders > 0) parts.push_back(Counted(view.not_read_folders, "folder", "folders"));
  return fmt::format("{}", fmt::join(parts, " and "));
}

// What did not arrive of a session that has ended by itself; empty: nothing.
std::string ProblemsText(const SummaryView& view) {
  std::vector<std::string> parts;
  if (view.failed > 0) parts.push_back(fmt::format("{} of {} failed", view.failed, Instances(view.total)));
  if (view.conflicts > 0) parts.push_back(Counted(view.conflicts, "conflict", "conflicts"));
  if (const std::string not_read = NotReadText(view); !not_read.empty()) parts.push_back(not_read + " NOT READ");
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string Headline(const SummaryView& view, const TerminalStyle& style) {
  const auto line = [&](const char* emoji, const std::string& text, const char* colour) {
    return (style.emoji() ? std::string(emoji) + " " : "") + Coloured(text, colour, style) + "\n";
  };
  switch (view.end) {
    case SessionEnd::kInterrupted:
      if (!view.end_reason.empty()) {
        return line("🛑", fmt::format("Ended early: {}", ToPrintable(view.end_reason)), kYellow);
      }
      return line("🛑", fmt::format("Interrupted: {} of {} not sent yet", view.pending, Instances(view.total)),
                  kYellow);
    case SessionEnd::kUnreachable:
      return line("❌", fmt::format("Given up: {}", ToPrintable(view.end_reason)), kRed);
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

std::string RenderSession(const SessionView& view) {
  std::string out = fmt::format("Session      {}{}\n", ToPrintable(view.session), view.resumed ? " (resumed)" : "");
  if (!view.destination.empty()) {
    out += fmt::format("Destination  {} (we are {})\n", ToPrintable(view.destination), ToPrintable(view.calling_ae));
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
  return failed.empty() ? whole : whole + Coloured(failed, kRed, style);
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
  const auto [word, colour] = [&]() -> std::pair<const char*, const char*> {
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
  return fmt::format("[{}] {} {}{} ({})\n", view.thread, Coloured(fmt::format("{:<7}", word), colour, style),
                     ToPrintable(view.path), detail, Milliseconds(view.duration));
}

std::string RenderWarning(std::string_view sentence, const TerminalStyle& style) {
  return fmt::format("{} {}\n", Coloured("Warning:", kYellow, style), ToPrintable(sentence));
}

std::string RenderSummary(const SummaryView& view, const TerminalStyle& style) {
  std::string out = fmt::format("\n{}", Headline(view, style));
  const auto row = [&out](const char* label, const std::string& value) {
    out += fmt::format("  {:<12}{}\n", label, value);
  };
  const auto count = [&](std::uint64_t value, const char* colour) {
    return value > 0 ? Coloured(std::to_string(value), colour, style) : "0";
  };
  row("Session", ToPrintable(view.session));
  row("Destination", fmt::format("{} (we are {})", ToPrintable(view.destination), ToPrintable(view.calling_ae)));
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
    row("NOT READ", Coloured(not_read, kRed, style));
  }
  if (view.pending > 0) row("Pending", count(view.pending, kYellow));
  row("Warnings", count(view.warnings, kYellow));
  if (view.ignored > 0) row("Ignored", Files(view.ignored));
  row("Size", FormatBytes(view.bytes));
  row("Time", FormatDuration(view.elapsed));
  if (view.successful > 0) row("Average", Milliseconds(view.average) + " an instance");
  row("Throughput", Figure(view.mib_per_second) + " MiB/s");
  row("Threads", std::to_string(view.threads));
  row("Studies", fmt::format("{}, over {}", view.studies, Counted(view.associations, "association", "associations")));
  if (view.retries > 0) row("Retries", std::to_string(view.retries));
  if (!view.log_file.empty()) row("Log", ToPrintable(view.log_file));
  if (!view.summary_file.empty()) row("JSON", ToPrintable(view.summary_file));
  if (!view.failures_file.empty()) row("Failures", ToPrintable(view.failures_file));
  return out + FailureTable(view);
}

std::string RenderEcho(const EchoView& view, const TerminalStyle& style) {
  const std::string result =
      view.failure.empty() ? Coloured("success", kGreen, style) : Coloured("failed", kRed, style);
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
      retry_failed ? "To try again what failed, except for files that the scan found defective" : "To go on",
      ResumeCommand(session, output_dir, retry_failed));
}

std::string ToAscii(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) out += c;
    if (byte >= 0xC0) out += '?';  // once for the bytes of one character
  }
  return out;
}

}  // namespace dicom_sender
