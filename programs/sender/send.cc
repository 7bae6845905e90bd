#include "programs/sender/send.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "common/log.h"
#include "common/store_error.h"
#include "coordinator/summary/summary.h"
#include "coordinator/summary/summary_writer.h"
#include "programs/sender/observer.h"
#include "programs/sender/session.h"
#include "programs/sender/session_folder.h"
#include "proto/words.h"
#include "session/session_view.h"

namespace dicom_sender {
namespace {

// Polls a young session often, so that polling does not prolong it, and an old one rarely, to keep the load low.
std::chrono::milliseconds LookAgainAfter(Duration elapsed) {
  using std::chrono::milliseconds;
  return std::clamp(std::chrono::duration_cast<milliseconds>(elapsed / 50), milliseconds(5), milliseconds(100));
}

constexpr std::chrono::seconds kSilenceNotedAfter(3);

// The shortest command that resumes the session. `by_id`: the session is complete and lacks only its summary, so
// --resume does not find it as an unfinished one.
std::string HowToResume(const std::string& session, const SenderOptions& options, bool retry_failed,
                        bool by_id = false) {
  std::error_code error;
  const bool is_here = std::filesystem::equivalent(options.output_dir, ".", error);
  const std::string output_dir = is_here ? "." : options.output_dir;
  return RenderResume(by_id ? session : IdToResume(session, output_dir), output_dir, retry_failed);
}

class SendRun {
 public:
  SendRun(const SenderOptions& options, StopSignals& signals, Console& console, Session& session)
      : options_(options),
        signals_(signals),
        console_(console),
        session_(session),
        observer_(console, options.verbose) {}

  // The worker's threads use the observer.
  ~SendRun() { session_.Stop(); }
  SendRun(const SendRun&) = delete;
  SendRun& operator=(const SendRun&) = delete;

  // Runs until the session has ended or a second signal arrives. The error ends the program.
  tl::expected<void, Failure> Send();
  // Call it after Send(). Returns the exit status.
  int Report();

 private:
  tl::expected<void, Failure> OnScanned();
  void OnSignal();
  void Show(const wire::SessionStatus& status);
  void WarnOfScan(const wire::SessionStatus& status);
  std::string NoteOnSilence(const wire::SessionStatus& status, TimePoint now);
  void StartWorker();

  const SenderOptions& options_;
  StopSignals& signals_;
  Console& console_;
  Session& session_;
  OutcomeObserver observer_;
  const TimePoint begin_ = MonotonicNow();
  bool scanning_ = false;
  bool worker_started_ = false;
  bool stopping_ = false;
  bool in_trouble_ = false;
  std::uint64_t done_ = 0;  // instances at the latest look
  TimePoint progressed_at_ = begin_;
};

tl::expected<void, Failure> SendRun::Send() {
  auto status = session_.Status();
  if (!status) return tl::unexpected(std::move(status.error()));
  scanning_ = !status->scan_complete();
  if (scanning_) session_.StartIndexer();
  if (!scanning_ || session_.settings().dispatch() == wire::DISPATCH_AS_FOUND) StartWorker();
  while (!HasEnded(status->state()) && signals_.count() < 2) {
    if (signals_.count() > 0 && !stopping_) OnSignal();
    if (scanning_ && session_.engine().indexer_ended() && !stopping_) {
      if (auto scanned = OnScanned(); !scanned) return scanned;
    }
    // Read this before the status: once the session has ended, the coordinator refuses the indexer's batches, and
    // that failure does not count.
    const auto indexer_failure = session_.engine().indexer_failure();
    pollfd wait{signals_.fd(), POLLIN, 0};
    poll(&wait, 1, static_cast<int>(LookAgainAfter(MonotonicNow() - begin_).count()));
    signals_.Clear();
    status = session_.Status();
    if (!status) return tl::unexpected(std::move(status.error()));
    if (indexer_failure && !HasEnded(status->state()))
      return tl::unexpected(Failure{kExitInternal, *indexer_failure});
    Show(*status);
  }
  // A session with little to send may end before the loop notices the end of its scan.
  if (scanning_ && status->scan_complete()) return OnScanned();
  return {};
}

tl::expected<void, Failure> SendRun::OnScanned() {
  scanning_ = false;
  const auto status = session_.Status();
  if (!status) return tl::unexpected(status.error());
  const auto found = session_.Found(*status);
  if (!found) return tl::unexpected(found.error());
  console_.EndProgress();
  if (status->total() == 0) return tl::unexpected(NothingFound(*status));
  console_.Print(RenderFound(*found));
  WarnOfScan(*status);
  spdlog::info("Found {} files, grouped into {} studies", status->total(), status->studies());
  if (!worker_started_) StartWorker();
  return {};
}

void SendRun::WarnOfScan(const wire::SessionStatus& status) {
  const auto warn = [this](std::uint64_t count, const char* one, const char* many) {
    if (count > 0)
      console_.Warn(fmt::format("{} {}: see the log, {}", count, count == 1 ? one : many, session_.files().log));
  };
  warn(status.not_read_files(), "file was NOT READ and is not sent", "files were NOT READ and are not sent");
  warn(status.not_read_folders(), "folder was NOT READ and is not sent", "folders were NOT READ and are not sent");
  warn(status.conflicts(), "file is in conflict with another one of the same SOP Instance UID and is not sent",
       "files are in conflict with others of the same SOP Instance UIDs and are not sent");
}

void SendRun::StartWorker() {
  worker_started_ = true;
  session_.engine().StartWorker(options_.threads, observer_);
}

void SendRun::OnSignal() {
  stopping_ = true;
  console_.Warn("Stopping: waiting for the instances in flight; press Ctrl-C again to stop at once");
  spdlog::warn("Interrupted: waiting for the instances in flight");
  session_.engine().StopIndexer();
  session_.engine().DrainWorker();
  wire::ClientRequest request;
  request.mutable_suspend_session()->set_session(session_.id());
  // If this fails, the engine has failed, and the loop notices that next.
  if (const auto suspended = session_.Ask(std::move(request)); !suspended) return;
}

void SendRun::Show(const wire::SessionStatus& status) {
  const TimePoint now = MonotonicNow();
  const IndexerProgress& index = session_.engine().index_progress();
  if (scanning_ && !worker_started_) {
    console_.Indexing(
        {.elapsed = now - begin_, .files = index.files, .found = index.found, .compared = index.compared}, now);
    return;
  }
  ProgressView view = ProgressOf(status, now - begin_);
  if (const std::uint64_t done = view.stored + view.failed; done != done_) {
    progressed_at_ = now;
    done_ = done;
  }
  if (view.note.empty()) view.note = NoteOnSilence(status, now);
  const bool in_trouble = !view.note.empty();
  if (in_trouble && !in_trouble_) spdlog::warn("{}", view.note);  // once, because the note counts seconds
  if (!in_trouble && in_trouble_) spdlog::info("The session is no longer held up");
  in_trouble_ = in_trouble;
  console_.Progress(view, now);
}

// Reports a silent destination before its timeout ends. The silence counts only while no other association makes
// progress.
std::string SendRun::NoteOnSilence(const wire::SessionStatus& status, TimePoint now) {
  const Duration silent = std::min(session_.engine().unanswered_for(), now - progressed_at_);
  if (silent < kSilenceNotedAfter) return {};
  const SchedulerOptions defaults;
  const Duration by_default = status.stored() > 0 ? defaults.retry_for_answered : defaults.retry_for_unanswered;
  const wire::OpenSession& settings = session_.settings();
  const Duration patience =
      settings.has_retry_for_ms() ? Duration(std::chrono::milliseconds(settings.retry_for_ms())) : by_default;
  return fmt::format("{} has not answered for {}; trying again for {} before giving up",
                     DestinationText(status.destination()), FormatWait(silent), FormatWait(patience));
}

int SendRun::Report() {
  if (signals_.count() >= 2) session_.engine().AbortWorker();
  session_.Stop();
  Ledger& ledger = session_.ledger();
  SessionRecord record = SuspendIfOpen(ledger, session_.record());  // after a second signal it is still open
  console_.EndProgress();
  SessionSummary summary = Summarize(ledger, std::move(record), WallNow());
  summary.threads_used = options_.threads;
  const wire::SessionReport report = ToReport(ledger, summary, ToStatus(summary.session));
  SummaryView view = SummaryOf(report);
  view.log_file = session_.files().log;
  const auto files = SummaryWriter(ledger, options_.output_dir).WriteOnce(summary);
  if (files) {
    view.summary_file = files->summary;
    view.failures_file = files->failures;
  } else {
    console_.Error(files.error());
  }
  console_.Print(RenderSummary(view, console_.style()));
  spdlog::info("Session {} ended: {} files, {} stored, {} failed, {} skipped, {} not sent yet", view.session,
               view.total, view.successful, view.failed, view.skipped, view.pending);
  if (!view.end_reason.empty()) console_.Error(view.end_reason);
  const bool all_stored = view.end == SessionEnd::kComplete && view.failed == 0;
  if (!all_stored || !files) {
    console_.Print(HowToResume(view.session, options_, !all_stored && view.end == SessionEnd::kComplete,
                               /*by_id=*/all_stored));
  }
  if (!files) return kExitCannotWrite;
  const int exit_status = ExitStatusOf(report.status());
  if (exit_status == kExitAllStored && options_.delete_ledger) session_.RemoveFiles(/*all=*/false);
  return exit_status;
}

int EndEarly(Session& session, const Failure& failure, const SenderOptions& options, Console& console) {
  console.EndProgress();
  console.Error(failure.sentence);
  session.Stop();
  if (failure.exit_status == kExitUsage) {
    session.RemoveFiles(/*all=*/true);
  } else {
    console.Print(HowToResume(session.id(), options, /*retry_failed=*/false));
  }
  return failure.exit_status;
}

}  // namespace

int RunSend(const SenderOptions& options, StopSignals& signals, Console& console) {
  auto session = Session::Open(options, console);
  if (!session) {
    console.Error(session.error().sentence);
    return session.error().exit_status;
  }
  const ScopedLogFields fields({.session = (*session)->id()});
  SendRun run(options, signals, console, **session);
  const auto sent = run.Send();
  if (!sent) return EndEarly(**session, sent.error(), options, console);
  try {
    return run.Report();
  } catch (const StoreError& error) {  // the coordinator's thread may have failed first and know the reason
    const auto failure = (*session)->engine().failure().value_or(Failure{kExitCannotWrite, error.what()});
    return EndEarly(**session, failure, options, console);
  }
}

}  // namespace dicom_sender
