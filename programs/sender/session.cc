#include "programs/sender/session.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "common/clock_watch.h"
#include "common/log.h"
#include "common/store_error.h"
#include "common/uuid.h"
#include "coordinator/ledger/sqlite/ledger_file_watch.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "programs/sender/program_settings.h"
#include "proto/session_state.h"
#include "proto/words.h"
#include "session/session_settings.h"

namespace dicom_sender {
namespace {

// The worker runs in the coordinator's process, so nothing waits for its leases to expire.
constexpr std::chrono::minutes kLeaseTime(5);

tl::unexpected<Failure> Fail(int exit_status, std::string sentence) {
  return tl::unexpected(Failure{exit_status, std::move(sentence)});
}

}  // namespace

Failure NothingFound(const wire::SessionStatus& status) {
  std::uint64_t ignored = 0;
  for (const auto& files : status.ignored()) ignored += files.files();
  const std::uint64_t unread = status.not_read_files() + status.not_read_folders();
  const std::string not_read = unread > 0 ? fmt::format(", {} more could not be read", unread) : "";
  return {kExitUsage, fmt::format("no DICOM instance in {}: looked at {} {}{}{}", fmt::join(status.inputs(), ", "),
                                  ignored, ignored == 1 ? "file" : "files", not_read,
                                  status.recursive() ? "" : " (subfolders are included with -r only)")};
}

SessionRecord SuspendIfOpen(Ledger& ledger, SessionRecord session) {
  if (HasEnded(session.state)) return session;
  ledger.Begin();
  ledger.SetSessionState(session.key, wire::SESSION_SUSPENDED, {}, WallNow());
  ledger.Commit();
  return ledger.LoadSession(session.key);
}

tl::expected<std::unique_ptr<Session>, Failure> Session::Open(const SenderOptions& options, Console& console) {
  std::unique_ptr<Session> session(new Session(options, console));
  auto started = session->TryToStart();
  if (started) return session;
  session->Stop();
  session->RemoveFiles(/*all=*/true);
  return tl::unexpected(std::move(started.error()));
}

Session::~Session() {
  Stop();
  CloseLog();
}

// If the files of a new session cannot be written, nothing was sent, and there is no session to resume.
tl::expected<void, Failure> Session::TryToStart() {
  auto started = [this]() -> tl::expected<void, Failure> {
    try {
      return Start();
    } catch (const StoreError& error) {
      return Fail(kExitCannotWrite, error.what());
    }
  }();
  if (!started && started.error().exit_status == kExitCannotWrite && files_are_new_) {
    return Fail(kExitUsage, started.error().sentence + "; nothing was sent");
  }
  return started;
}

tl::expected<void, Failure> Session::Start() {
  const std::string id = options_.resume ? *options_.resume : NewUuid();
  settings_.set_session(id);
  files_ = FilesOf(options_.output_dir, id);
  files_are_new_ = !options_.resume;
  if (options_.resume && !std::filesystem::exists(files_.ledger)) {
    return Fail(kExitUsage,
                fmt::format("ledger '{}' not found: was the session complete, or is it in another --output-dir?",
                            files_.ledger));
  }
  auto ledger = OpenSqliteLedger(files_.ledger);
  if (!ledger) return Fail(kExitUsage, std::move(ledger.error()));
  ledger_ = *std::move(ledger);
  if (options_.resume) {
    if (auto resumed = Resume(); !resumed) return resumed;
  } else {
    settings_ = NewSessionSettings(options_, id);
  }
  *settings_.mutable_program() = ToProgramSettings(options_);
  if (auto log = OpenLog(files_.log, options_.log_format, options_.verbose); !log) {
    return Fail(kExitCannotWrite, std::move(log.error()));
  }
  CoordinatorHooks hooks;
  hooks.every_second = [watch = LedgerFileWatch(files_.ledger), clock = ClockWatch()]() mutable {
    watch.Check();
    clock.Look();
  };
  if (options_.metrics) {
    auto server = HttpServer::Start({.address = *options_.metrics,
                                     .version = std::string(ProgramVersion()),
                                     .registry = registry_,
                                     .pages = board_.Pages()});
    if (!server) return Fail(kExitUsage, std::move(server.error()));
    http_server_ = *std::move(server);
    hooks.on_look = [this](wire::Overview overview) { board_.Show(std::move(overview)); };
  }
  SchedulerOptions scheduler;
  scheduler.lease_ttl = kLeaseTime;
  scheduler.workers_may_come = false;
  scheduler.seed = static_cast<std::uint64_t>(MonotonicNow().time_since_epoch().count());
  engine_ = std::make_unique<Engine>(*ledger_, scheduler, *registry_, std::move(hooks));
  wire::ClientRequest request;
  *request.mutable_open_session() = settings_;
  if (auto opened = Ask(std::move(request)); !opened) return tl::unexpected(std::move(opened.error()));
  // Print this only now, because from here on the session can be resumed.
  console_.Print(RenderSession({.session = id,
                                .log_file = files_.log,
                                .destination = DestinationText(settings_.destination()),
                                .calling_ae = settings_.destination().calling_ae(),
                                .resumed = options_.resume.has_value(),
                                .scan_time = scan_time_}));
  return {};
}

tl::expected<void, Failure> Session::Resume() {
  ledger_->Begin();
  const auto record = ledger_->FindSession(*options_.resume);
  ledger_->Commit();
  if (!record) {
    return Fail(kExitUsage, fmt::format("ledger '{}' does not have session {}: does it belong to another session?",
                                        files_.ledger, *options_.resume));
  }
  auto settings = ResumedSessionSettings(options_, options_.retry_failed, record->settings);
  if (!settings) return Fail(kExitUsage, std::move(settings.error()));
  settings_ = *std::move(settings);
  if (record->settings.destination().host().empty()) TakeDestination(*record);
  if (record->scan_complete) scan_time_ = FormatRfc3339(record->start_time);
  return {};
}

// Completes a session that a dry run without a destination has left.
void Session::TakeDestination(const SessionRecord& record) {
  wire::OpenSession settings = record.settings;
  *settings.mutable_destination() = settings_.destination();
  ledger_->Begin();
  ledger_->SetSettings(record.key, settings);
  ledger_->Commit();
}

tl::expected<wire::SessionStatus, Failure> Session::Ask(wire::ClientRequest request) {
  const auto reply = engine_->Ask(std::move(request));
  if (!reply) return tl::unexpected(reply.error());
  return reply->session();
}

tl::expected<wire::SessionStatus, Failure> Session::Status() {
  wire::ClientRequest request;
  request.mutable_get_session()->set_session(id());
  return Ask(std::move(request));
}

void Session::StartIndexer() {
  engine_->StartIndexer({.session = id(),
                         .name = {},
                         .inputs = {settings_.inputs().begin(), settings_.inputs().end()},
                         .recursive = settings_.recursive(),
                         .threads = options_.scan_threads,
                         .publish_folders = settings_.dispatch() == wire::DISPATCH_AS_FOUND});
}

tl::expected<FoundView, Failure> Session::Found(const wire::SessionStatus& status) {
  FoundView view{.files = status.total(),
                 .bytes = status.total_bytes(),
                 .studies = status.studies(),
                 .first_studies = {},
                 .ignored = {}};
  for (const auto& ignored : status.ignored()) view.ignored[ignored.reason()] = ignored.files();
  wire::ClientRequest request;
  request.mutable_list_studies()->set_session(id());
  request.mutable_list_studies()->set_limit(kStudyLinesMax);
  const auto reply = engine_->Ask(std::move(request));
  if (!reply) return tl::unexpected(reply.error());
  for (const auto& study : reply->studies().studies()) {
    view.first_studies.push_back({study.study_instance_uid(), study.instances()});
  }
  return view;
}

void Session::Stop() {
  if (engine_) engine_->Stop();
}

SessionRecord Session::record() { return ledger_->FindSession(id()).value(); }

void Session::RemoveFiles(bool all) {
  engine_.reset();
  ledger_.reset();
  if (!files_are_new_ && all) return;  // they belong to an earlier run, whose session could not be resumed
  RemoveLedger(files_);
  if (!all) return;
  CloseLog();
  std::error_code ignored;
  std::filesystem::remove(files_.log, ignored);
}

}  // namespace dicom_sender
