#include "programs/indexer/program.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "cli/exit_status.h"
#include "common/http_server.h"
#include "common/uuid.h"
#include "indexer/indexer.h"
#include "proto/words.h"
#include "session/session_settings.h"
#include "session/session_view.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kFirstPatience(30);  // short, because the endpoint may be a typing error
constexpr std::chrono::milliseconds kLookEvery(250);
constexpr std::chrono::seconds kAskPatience(2);  // for one look at the progress

struct Failure {
  int exit_status = kExitInternal;
  std::string reason;
};
using Done = tl::expected<void, Failure>;

Failure ToFailure(const CallError& error) {
  const bool lost = error.kind == CallError::Kind::kNoAnswer || error.kind == CallError::Kind::kStopped;
  return {lost ? kExitInterrupted : kExitUsage, error.reason};
}

// The name is the same for the same inputs, so that a scan that is run again replaces the one that crashed.
std::string NameOf(const wire::OpenSession& settings) {
  return fmt::format("{}:{}", settings.recursive() ? "recursive" : "flat", fmt::join(settings.inputs(), "\n"));
}

class IndexRun {
 public:
  IndexRun(const IndexerProgramOptions& options, const ClientSecurity* security, StopSignals& signals,
           Console& console)
      : options_(options),
        security_(security),
        signals_(signals),
        console_(console),
        client_(context_, options.connection.coordinators(), security),
        settings_(NewSessionSettings(options, options.session ? *options.session : NewUuid())) {}

  Done Start();
  // Scans until everything is published.
  Done Scan(IndexerMetrics& metrics);
  // Shows the progress until the session has ended. Returns the exit status.
  tl::expected<int, Failure> Watch();

  bool is_connected() const { return connected_; }

 private:
  tl::expected<wire::ClientReply, CallError> Ask(const wire::ClientRequest& request) {
    return client_.Call(request, signals_.stop_token(), kAskPatience);
  }
  Done SaySession();
  Failure Interrupted() const;
  Done Look();
  void SayIfItWaits();
  void Sleep();
  tl::expected<int, Failure> Report();

  const IndexerProgramOptions& options_;
  const ClientSecurity* security_;
  StopSignals& signals_;
  Console& console_;
  zmq::context_t context_;
  CoordinatorClient client_;
  const wire::OpenSession settings_;
  const TimePoint begin_ = MonotonicNow();
  wire::SessionStatus status_;  // the latest one received
  IndexerProgress progress_;
  bool scanning_ = false;
  bool said_session_ = false;
  bool said_that_it_waits_ = false;
  std::atomic<bool> connected_ = false;
};

Done IndexRun::Start() {
  if (NameOf(settings_).size() > kIndexerNameBytesMax) {
    return tl::unexpected(
        Failure{kExitUsage, fmt::format("the inputs have more than {} bytes together: give the folders "
                                        "that hold them",
                                        kIndexerNameBytesMax)});
  }
  wire::ClientRequest request;
  if (options_.session) {
    request.mutable_get_session()->set_session(*options_.session);
  } else {
    *request.mutable_open_session() = settings_;
  }
  auto reply = Ask(request);
  if (!reply && reply.error().kind == CallError::Kind::kNoAnswer) {
    console_.Warn(fmt::format("Coordinator {} does not answer yet: waiting {} s for it", options_.connection.text(),
                              kFirstPatience.count()));
    reply = client_.Call(request, signals_.stop_token(), kFirstPatience);
  }
  if (!reply) return tl::unexpected(ToFailure(reply.error()));
  connected_ = true;
  status_ = reply->session();
  return {};
}

// Called only when the scan has begun: until then, a session that another indexer feeds may become complete without
// the files of this one.
Done IndexRun::SaySession() {
  said_session_ = true;
  const std::string line = settings_.session() + "\n";
  if (write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return tl::unexpected(
        Failure{kExitInternal,
                fmt::format("the session's ID cannot be written to standard output: {}", std::strerror(errno))});
  }
  console_.Print(RenderSession({.session = settings_.session(),
                                .log_file = options_.service.log_file.value_or(""),
                                .destination = DestinationText(status_.destination()),
                                .calling_ae = status_.destination().calling_ae(),
                                .resumed = options_.session.has_value()}));
  return {};
}

Done IndexRun::Scan(IndexerMetrics& metrics) {
  const IndexerOptions options{.session = settings_.session(),
                               .name = NameOf(settings_),
                               .inputs = {settings_.inputs().begin(), settings_.inputs().end()},
                               .recursive = settings_.recursive(),
                               .threads = options_.scan_threads,
                               .publish_folders = status_.dispatch() == wire::DISPATCH_AS_FOUND};
  tl::expected<void, std::string> done;
  std::atomic<bool> ended = false;
  scanning_ = true;
  std::jthread scan([&](std::stop_token stop) {
    try {
      CoordinatorClient client(context_, options_.connection.coordinators(), security_);
      done = RunIndexer(options, client, metrics, progress_, stop);
    } catch (const std::exception& error) {
      done = tl::unexpected(std::string(error.what()));
    }
    ended = true;
  });
  const std::stop_callback on_signal(signals_.stop_token(), [&scan] { scan.request_stop(); });
  Done said;
  while (!ended || (progress_.begun.raised() && !said_session_)) {
    if (progress_.begun.raised() && !said_session_) {
      said = SaySession();
      if (!said) scan.request_stop();
    }
    SayIfItWaits();
    [[maybe_unused]] const auto looked = Look();  // an error here also fails the scan's own requests
    Sleep();
  }
  scan.join();
  scanning_ = false;
  console_.EndProgress();
  if (!said) return said;
  if (signals_.count() > 0) return tl::unexpected(Interrupted());
  if (!done) return tl::unexpected(Failure{kExitInterrupted, done.error()});
  spdlog::info("Session {}: looked at {} files, {} are DICOM", settings_.session(), progress_.files, progress_.found);
  console_.Print(fmt::format("Looked at {} files, {} are DICOM: all of them are with the coordinator\n",
                             progress_.files.load(), progress_.found.load()));
  if (progress_.found > 0) return {};
  return tl::unexpected(Failure{kExitUsage, NothingFoundIn(settings_)});
}

Failure IndexRun::Interrupted() const {
  if (!said_session_) {
    return {kExitInterrupted, fmt::format("interrupted before the scan of session {} began: end the session with "
                                          "'dicom-ctl cancel', and run this again",
                                          settings_.session())};
  }
  return {kExitInterrupted,
          fmt::format("interrupted: to continue, run it again with --session {}", settings_.session())};
}

tl::expected<int, Failure> IndexRun::Watch() {
  for (;;) {
    // A status from before the end of the scan is outdated, so ask again first.
    if (const auto looked = Look(); !looked) return tl::unexpected(looked.error());
    if (connected_ && HasEnded(status_.state())) return Report();
    if (signals_.count() > 0) {
      console_.EndProgress();
      return tl::unexpected(Failure{
          kExitInterrupted,
          fmt::format("no longer waiting: session {} {}", settings_.session(),
                      connected_ ? "continues at the coordinator" : "continues when the coordinator answers again")});
    }
    Sleep();
  }
}

// Fails if the coordinator does not know the session or has another protocol version.
Done IndexRun::Look() {
  const TimePoint now = MonotonicNow();
  if (!options_.wait) {
    // Without a log file, the log goes to the same terminal and has the same information.
    if (options_.service.log_file) console_.Indexing({now - begin_, progress_.files, progress_.found}, now);
    return {};
  }
  wire::ClientRequest request;
  request.mutable_get_session()->set_session(settings_.session());
  const auto reply = Ask(request);
  connected_ = reply.has_value();
  const auto kind = reply ? CallError::Kind::kNoAnswer : reply.error().kind;
  if (kind == CallError::Kind::kRefused || kind == CallError::Kind::kMismatch) {
    console_.EndProgress();
    return tl::unexpected(ToFailure(reply.error()));
  }
  if (reply) status_ = reply->session();
  ProgressView view = ProgressOf(status_, now - begin_);
  if (!reply) view.note = "waiting for the coordinator";
  if (scanning_ && view.stored + view.failed == 0) {
    console_.Indexing({now - begin_, progress_.files, progress_.found}, now);
  } else {
    console_.Progress(view, now);
  }
  return {};
}

void IndexRun::SayIfItWaits() {
  const bool waits = progress_.waits;
  const bool log_is_here = !options_.wait && !options_.service.log_file;  // and has the same information
  if (waits && !said_that_it_waits_ && !log_is_here) {
    console_.Warn(fmt::format("Coordinator {} does not answer: the scan waits for it", options_.connection.text()));
  }
  said_that_it_waits_ = waits;
}

void IndexRun::Sleep() {
  const int begun = said_session_ ? -1 : progress_.begun.fd();  // poll() ignores -1
  std::array<pollfd, 2> wait{{{signals_.fd(), POLLIN, 0}, {begun, POLLIN, 0}}};
  poll(wait.data(), wait.size(), static_cast<int>(kLookEvery.count()));
  signals_.Clear();
}

tl::expected<int, Failure> IndexRun::Report() {
  wire::ClientRequest request;
  request.mutable_get_report()->set_session(settings_.session());
  const auto reply = client_.Call(request, signals_.stop_token());
  if (!reply) return tl::unexpected(ToFailure(reply.error()));
  console_.EndProgress();
  console_.Print(RenderSummary(SummaryOf(reply->report()), console_.style()));
  const wire::SessionStatus& status = reply->report().status();
  if (!status.end_reason().empty()) console_.Error(status.end_reason());
  const int exit_status = ExitStatusOf(status);
  const auto advise = [&](const char* what, const char* command) {
    console_.Print(fmt::format("{}:\n  dicom-ctl --coordinator {} {} {}\n", what, options_.connection.text(), command,
                               status.session()));
  };
  if (exit_status == kExitDestination || exit_status == kExitInterrupted) advise("To resume", "resume");
  if (exit_status == kExitSomeFailed && status.failed() > 0)
    advise("To retry what failed, except for files that the scan found defective", "requeue");
  return exit_status;
}

}  // namespace

std::string NothingFoundIn(const wire::OpenSession& settings) {
  return fmt::format("no DICOM instance in {}{}", fmt::join(settings.inputs(), ", "),
                     settings.recursive() ? "" : " (subfolders are included with -r only)");
}

int RunIndexerProgram(const IndexerProgramOptions& options, StopSignals& signals, Console& console) {
  const auto fails = [&console](const Failure& failure) {
    console.Error(failure.reason);
    return failure.exit_status;
  };
  const auto security = ReadSecurity(options.connection);
  if (!security) return fails({kExitUsage, security.error()});
  const auto registry = std::make_shared<prometheus::Registry>();
  IndexerMetrics metrics(*registry);
  IndexRun run(options, *security ? &**security : nullptr, signals, console);
  std::unique_ptr<HttpServer> http;
  if (options.service.metrics) {
    auto started = HttpServer::Start({.address = *options.service.metrics,
                                      .version = std::string(ProgramVersion()),
                                      .registry = registry,
                                      .readiness = [&run]() -> std::optional<std::string> {
                                        if (run.is_connected()) return std::nullopt;
                                        return "the coordinator does not answer";
                                      }});
    if (!started) return fails({kExitUsage, started.error()});
    http = *std::move(started);
  }
  if (const auto started = run.Start(); !started) return fails(started.error());
  if (const auto scanned = run.Scan(metrics); !scanned) return fails(scanned.error());
  if (!options.wait) return kExitAllStored;
  const auto watched = run.Watch();
  return watched ? *watched : fails(watched.error());
}

}  // namespace dicom_sender
