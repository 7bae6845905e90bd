// What a person sees of a run, as text drawn from plain structs. Pure: no clock, terminal or file. Whatever comes
// from outside (paths, reasons) is made printable here. Every text but the progress bar ends with a newline.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/rate.h"
#include "common/time.h"

namespace dicom_sender {

// What the output can show. The default is a file or a pipe.
struct TerminalStyle {
  bool terminal = false;  // lines can be drawn over
  bool utf8 = false;      // of the terminal; files and pipes get UTF-8
  bool colour = false;    // only on a terminal
  std::size_t columns = 80;

  bool emoji() const { return terminal && utf8; }
};

struct SessionView {
  std::string session;
  std::string log_file;
  std::string destination;  // "AE:port@host"; empty: a dry run without one
  std::string calling_ae;
  bool resumed = false;
  std::string scan_time = {};  // of the complete scan that a resumed session uses; empty: it scans
};

struct IndexingView {
  Duration elapsed{};
  std::uint64_t files = 0;     // looked at
  std::uint64_t found = 0;     // of these, DICOM
  std::uint64_t compared = 0;  // copies, with the files that are sent in their place
};

struct StudyLine {
  std::string study_instance_uid;  // empty: the group of the files that have none
  std::uint64_t files = 0;
};
inline constexpr std::size_t kStudyLinesMax = 20;

struct FoundView {
  std::uint64_t files = 0;  // recognised as DICOM
  std::uint64_t bytes = 0;  // of these
  std::uint64_t studies = 0;
  std::vector<StudyLine> first_studies;          // more than kStudyLinesMax are not shown
  std::map<std::string, std::uint64_t> ignored;  // by reason: not_dicom, empty, unreadable, dicomdir
};

// What a dry run found out. Names are those a person knows, or UIDs where there are none.
struct PlanCount {
  std::string name;
  std::uint64_t files = 0;
};
struct PlanContext {
  std::string sop_class;
  std::vector<std::string> transfer_syntaxes;
};
inline constexpr std::size_t kPlanLinesMax = 130;  // of each list
struct PlanView {
  FoundView found;
  std::uint64_t associations = 0;
  std::vector<PlanCount> sop_classes, transfer_syntaxes;  // of what would be sent
  std::vector<PlanContext> contexts;                      // of all studies together
  std::uint64_t to_send = 0;
  std::uint64_t bytes_to_send = 0;
  std::uint64_t broken = 0;      // would fail
  std::uint64_t duplicates = 0;  // would be skipped
  std::uint64_t conflicts = 0;   // would be skipped, although their datasets differ from those that are sent
  std::string destination;       // "AE:port@host"; empty: none was given
};

struct ProgressView {
  Duration elapsed{};
  bool total_known = true;  // false while files are still being found
  std::uint64_t stored = 0;
  std::uint64_t failed = 0;
  std::uint64_t pending = 0;
  std::uint64_t bytes_stored = 0;
  std::uint64_t bytes_pending = 0;
  std::uint64_t total() const { return stored + failed + pending; }  // without what is skipped
  unsigned associations = 0;                                         // open now
  std::string note;  // what it waits for: "destination unreachable: connection refused, retrying in 4 s"
};

enum class InstanceResult { kStored, kStoredWithWarning, kFailed, kDelayed };
struct InstanceView {
  unsigned thread = 0;
  std::string path;
  InstanceResult result = InstanceResult::kStored;
  std::string detail;  // status or reason; empty for a plain success
  Duration duration{};
};

enum class SessionEnd { kComplete, kInterrupted, kUnreachable, kRefused };
struct FailureReason {
  std::string reason;
  std::uint64_t instances = 0;
};
struct SummaryView {
  SessionEnd end = SessionEnd::kComplete;
  std::string end_reason;  // of what ended early, but for a pause: one sentence
  std::string session;
  std::string destination;
  std::string calling_ae;
  std::uint64_t total = 0;
  std::uint64_t successful = 0;  // with or without a warning
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;
  std::uint64_t conflicts = 0;  // of the skipped ones, those whose dataset differs from the one that was sent
  std::uint64_t not_read_files = 0, not_read_folders = 0;
  std::uint64_t pending = 0;  // without an outcome yet
  std::uint64_t warnings = 0;
  std::uint64_t ignored = 0;
  std::uint64_t retries = 0;
  std::uint64_t bytes = 0;  // of the successful ones
  Duration elapsed{};
  Duration average{};         // of the successful C-STOREs
  double mib_per_second = 0;  // over the session
  unsigned threads = 1;
  std::uint64_t studies = 0;
  std::uint64_t associations = 0;
  std::string log_file, summary_file, failures_file;  // empty: there is none
  std::vector<FailureReason> failure_reasons;         // the most frequent ones, at most kFailureReasonsMax are shown
  std::uint64_t other_failure_reasons = 0;            // how many reasons are not among them
};
inline constexpr std::size_t kFailureReasonsMax = 5;

struct EchoView {
  std::string destination;
  std::string calling_ae;
  std::string failure;  // one sentence; empty: it answered with success
  Duration duration{};
};

std::string RenderSession(const SessionView& view);
std::string RenderIndexing(const IndexingView& view);  // without a newline: it is drawn over on a terminal
std::string RenderFound(const FoundView& view);
std::string RenderPlan(const PlanView& view);
// One line of at most columns - 1 characters, without a newline.
std::string RenderProgressBar(const ProgressView& view, const std::optional<Rate>& rate, const TerminalStyle& style);
std::string RenderProgressLine(const ProgressView& view, const std::optional<Rate>& rate);
std::string RenderInstance(const InstanceView& view, const TerminalStyle& style);
std::string RenderWarning(std::string_view sentence, const TerminalStyle& style);
std::string RenderSummary(const SummaryView& view, const TerminalStyle& style);
std::string RenderEcho(const EchoView& view, const TerminalStyle& style);
// The command that goes on with a session, or tries again what failed in it, to be pasted into a shell. An empty id
// stands for the latest session in the folder.
std::string ResumeCommand(const std::string& session, const std::string& output_dir, bool retry_failed);
std::string RenderResume(const std::string& session, const std::string& output_dir, bool retry_failed);

// Every character that is not ASCII becomes '?': for terminals that would take its bytes for something else.
std::string ToAscii(std::string_view text);

}  // namespace dicom_sender
