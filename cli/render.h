// Renders the output of a run as text from plain structs. Pure: uses no clock, terminal, or file. Makes untrusted
// text (paths, reasons) printable. Every text except the progress bar ends with a newline.
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

// What the output supports. The default is that of a file or a pipe.
struct TerminalStyle {
  bool terminal = false;  // lines can be overwritten
  bool utf8 = false;      // the terminal's encoding; files and pipes always get UTF-8
  bool color = false;     // only on a terminal
  std::size_t columns = 80;

  bool emoji() const { return terminal && utf8; }
};

struct SessionView {
  std::string session;
  std::string log_file;
  std::string destination;  // "AE:port@host"; empty in a dry run without a destination
  std::string calling_ae;
  bool resumed = false;
  std::string scan_time = {};  // of the earlier scan that a resumed session uses; empty: it scans
};

struct IndexingView {
  Duration elapsed{};
  std::uint64_t files = 0;     // examined
  std::uint64_t found = 0;     // DICOM files among them
  std::uint64_t compared = 0;  // duplicates compared with the files that are sent instead
};

struct StudyLine {
  std::string study_instance_uid;  // empty: the group of files without one
  std::uint64_t files = 0;
};
inline constexpr std::size_t kStudyLinesMax = 20;

struct FoundView {
  std::uint64_t files = 0;  // recognized as DICOM
  std::uint64_t bytes = 0;  // total size of these files
  std::uint64_t studies = 0;
  std::vector<StudyLine> first_studies;          // more than kStudyLinesMax are not shown
  std::map<std::string, std::uint64_t> ignored;  // by reason: not_dicom, empty, unreadable, dicomdir
};

// The result of a dry run. SOP classes and transfer syntaxes are given by name, or by UID if it is unknown.
struct PlanCount {
  std::string name;
  std::uint64_t files = 0;
};
struct PlanContext {
  std::string sop_class;
  std::vector<std::string> transfer_syntaxes;
};
inline constexpr std::size_t kPlanLinesMax = 130;  // per list
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
  std::string destination;       // "AE:port@host"; empty if none was given
};

struct ProgressView {
  Duration elapsed{};
  bool total_known = true;  // false while files are still being found
  std::uint64_t stored = 0;
  std::uint64_t failed = 0;
  std::uint64_t pending = 0;
  std::uint64_t bytes_stored = 0;
  std::uint64_t bytes_pending = 0;
  std::uint64_t total() const { return stored + failed + pending; }  // without skipped instances
  unsigned associations = 0;                                         // open now
  std::string note;  // what the session waits for: "destination unreachable: connection refused, retrying in 4 s"
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
  std::string end_reason;  // one sentence if the session ended early, except by a pause
  std::string session;
  std::string destination;
  std::string calling_ae;
  std::uint64_t total = 0;
  std::uint64_t successful = 0;  // with or without a warning
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;
  std::uint64_t conflicts = 0;  // skipped instances whose dataset differs from the one that was sent
  std::uint64_t not_read_files = 0, not_read_folders = 0;
  std::uint64_t pending = 0;  // without a result yet
  std::uint64_t warnings = 0;
  std::uint64_t ignored = 0;
  std::uint64_t retries = 0;
  std::uint64_t bytes = 0;  // of the successful instances
  Duration elapsed{};
  Duration average{};         // of the successful C-STOREs
  double mib_per_second = 0;  // over the session
  unsigned threads = 1;
  std::uint64_t studies = 0;
  std::uint64_t associations = 0;
  std::string log_file, summary_file, failures_file;  // empty: not written
  std::vector<FailureReason> failure_reasons;         // the most frequent; at most kFailureReasonsMax are shown
  std::uint64_t other_failure_reasons = 0;            // number of reasons that are not in failure_reasons
};
inline constexpr std::size_t kFailureReasonsMax = 5;

struct EchoView {
  std::string destination;
  std::string calling_ae;
  std::string failure;  // one sentence; empty if the destination answered with success
  Duration duration{};
};

std::string RenderSession(const SessionView& view);
std::string RenderIndexing(const IndexingView& view);  // without a newline, because a terminal overwrites it
std::string RenderFound(const FoundView& view);
std::string RenderPlan(const PlanView& view);
// Returns one line of at most columns - 1 characters, without a newline.
std::string RenderProgressBar(const ProgressView& view, const std::optional<Rate>& rate, const TerminalStyle& style);
std::string RenderProgressLine(const ProgressView& view, const std::optional<Rate>& rate);
std::string RenderInstance(const InstanceView& view, const TerminalStyle& style);
std::string RenderWarning(std::string_view sentence, const TerminalStyle& style);
std::string RenderSummary(const SummaryView& view, const TerminalStyle& style);
std::string RenderEcho(const EchoView& view, const TerminalStyle& style);
// Returns the command that resumes a session or retries its failures, for pasting into a shell. An empty id means the
// latest session in the folder.
std::string ResumeCommand(const std::string& session, const std::string& output_dir, bool retry_failed);
std::string RenderResume(const std::string& session, const std::string& output_dir, bool retry_failed);

// Replaces every non-ASCII character by '?', for terminals that do not use UTF-8.
std::string ToAscii(std::string_view text);

}  // namespace dicom_sender
