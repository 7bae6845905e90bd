#include "programs/ctl/commands.h"

#include <fmt/format.h>

#include "cli/exit_status.h"
#include "cli/render.h"
#include "cli/table.h"
#include "common/text.h"
#include "proto/words.h"
#include "session/json.h"
#include "session/session_view.h"

namespace dicom_sender {
namespace {

constexpr std::uint32_t kSessionsPerPage = 100, kFailuresPerPage = 300;
constexpr const char* kFailureRow = "{:<6}  {:<8}  {:<16}  {}: {}\n";

using Done = tl::expected<void, CtlFailure>;
template <class Value>
using Result = tl::expected<Value, CtlFailure>;

// The texts of a session's progress, "-" where it cannot be told.
std::string RateText(const wire::SessionList::Entry& entry) {
  if (!entry.has_instances_per_second()) return "-";
  return fmt::format("{:.1f}/s, {}/s", entry.instances_per_second(),
                     FormatBytes(static_cast<std::uint64_t>(std::max(0.0, entry.bytes_per_second()))));
}
std::string LeftText(const wire::SessionList::Entry& entry) {
  if (!entry.has_seconds_left()) return "-";
  return FormatDuration(std::chrono::seconds(entry.seconds_left()));
}

std::string NothingRequeued(const CtlOptions& options) {
  std::string conditions;
  const auto add = [&conditions](const char* option, const std::string& value) {
    conditions += fmt::format(" --{} '{}'", option, ToPrintable(value));
  };
  if (options.status) add("status", fmt::format("{:04X}", *options.status));
  if (options.study) add("study", *options.study);
  if (options.reason) add("reason", *options.reason);
  if (options.worker) add("worker", *options.worker);
  if (conditions.empty()) {
    return fmt::format("Nothing is requeued: session {} has no failed instance that can be sent again\n",
                       options.subject);
  }
  return fmt::format(
      "Nothing is requeued: no failed instance of session {} matches{}; 'dicom-ctl failures {}' lists what failed\n",
      options.subject, conditions, options.subject);
}

class Commands {
 public:
  Commands(const CtlOptions& options, const ClientSecurity* security, const CtlOutput& output)
      : options_(options), output_(output), client_(context_, options.connection.coordinators(), security) {}

  Done Run();

 private:
  Result<wire::ClientReply> Ask(const wire::ClientRequest& request);
  bool json() const { return options_.format == CtlFormat::kJson; }
  // One message as JSON, or what `table` makes of it.
  template <class Message, class Table>
  Done Show(const Message& message, Table table) {
    output_(json() ? ToJson(message) + "\n" : table(message));
    return {};
  }

  Done Sessions();
  Done ShowSession();
  Done Summary();
  Done Failures();
  Done Workers();
  Done Destinations();
  Done Resume();
  Done Requeue();
  Done Drain();
  Done Direct(const wire::ClientRequest& request);
  Done ShowState(const wire::SessionStatus& status);
  Result<wire::SessionReport> Report();

  const CtlOptions& options_;
  const CtlOutput& output_;
  zmq::context_t context_;
  CoordinatorClient client_;
};

Result<wire::ClientReply> Commands::Ask(const wire::ClientRequest& request) {
  auto reply = client_.Call(request, {}, options_.timeout);
  if (reply) return *std::move(reply);
  const bool no_answer = reply.error().kind == CallError::Kind::kNoAnswer;
  return tl::unexpected(CtlFailure{no_answer ? kExitNoAnswer : kExitRefused, std::move(reply.error().reason)});
}

Done Commands::Run() {
  wire::ClientRequest request;
  switch (options_.command) {
    case CtlCommand::kSessions:
      return Sessions();
    case CtlCommand::kShow:
      return ShowSession();
    case CtlCommand::kSummary:
      return Summary();
    case CtlCommand::kFailures:
      return Failures();
    case CtlCommand::kWorkers:
      return Workers();
    case CtlCommand::kDestinations:
      return Destinations();
    case CtlCommand::kPause:
      request.mutable_suspend_session()->set_session(options_.subject);
      return Direct(request);
    case CtlCommand::kCancel:
      request.mutable_cancel_session()->set_session(options_.subject);
      return Direct(request);
    case CtlCommand::kResume:
      return Resume();
    case CtlCommand::kRequeue:
      return Requeue();
    case CtlCommand::kDrain:
      return Drain();
    case CtlCommand::kKeygen:
      break;  // needs no coordinator: see RunCommand
  }
  return {};
}

Done Commands::Sessions() {
  wire::SessionList all;
  wire::ClientRequest request;
  request.mutable_list_sessions()->set_limit(kSessionsPerPage);
  for (;;) {
    const auto reply = Ask(request);
    if (!reply) return tl::unexpected(reply.error());
    all.mutable_sessions()->MergeFrom(reply->sessions().sessions());
    if (reply->sessions().sessions_size() < static_cast<int>(kSessionsPerPage)) break;
    request.mutable_list_sessions()->set_after(all.sessions().rbegin()->key());
  }
  return Show(all, [](const wire::SessionList& list) {
    Table table({"SESSION", "STATE", "DESTINATION", "STUDIES", "FILES", "STORED", "FAILED", "SKIPPED", "PENDING",
                 "PERCENT", "RATE", "ETA", "STARTED"});
    for (const auto& entry : list.sessions()) {
      const wire::SessionStatus& status = entry.status();
      table.Add({status.session(), StateText(status), DestinationText(status.destination()),
                 std::to_string(status.studies()), std::to_string(status.total()), std::to_string(status.stored()),
                 std::to_string(status.failed()), std::to_string(status.skipped()), std::to_string(status.pending()),
                 PercentText(status), RateText(entry), LeftText(entry), ClockText(entry.start_ms())});
    }
    return table.Text();
  });
}

Result<wire::SessionReport> Commands::Report() {
  wire::ClientRequest request;
  request.mutable_get_report()->set_session(options_.subject);
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return reply->report();
}

Done Commands::ShowSession() {
  const auto report = Report();
  if (!report) return tl::unexpected(report.error());
  return Show(*report, [](const wire::SessionReport& shown) {
    const wire::SessionStatus& status = shown.status();
    std::string text;
    const auto line = [&text](const char* name, const std::string& value) {
      text += fmt::format("{:<13}{}\n", name, ToPrintable(value));
    };
    line("Session", status.session());
    line("State", StateText(status));
    if (!status.end_reason().empty()) line("Reason", status.end_reason());
    if (!status.waits_for().empty()) line("Waits for", status.waits_for());
    line("Destination", DestinationText(status.destination()));
    line("Calling AE", status.destination().calling_ae());
    for (const std::string& input : status.inputs()) line("Input", input);
    for (const std::string& indexer : shown.scanning()) line("Scanning", indexer);
    line("Started", ClockText(shown.start_ms()));
    if (HasEnded(status.state())) line("Ended", ClockText(shown.end_ms()));
    line("Studies", fmt::format("{}, {} being sent", status.studies(), status.leases()));
    line("Files", fmt::format("{}, {}", status.total(), FormatBytes(status.total_bytes())));
    line("Stored", fmt::format("{}, {}, {} with a warning", status.stored(), FormatBytes(status.stored_bytes()),
                               status.warnings()));
    line("Failed", std::to_string(status.failed()));
    line("Skipped", std::to_string(status.skipped()));
    line("Conflicts", std::to_string(status.conflicts()));
    line("Not read", fmt::format("{} files, {} folders", status.not_read_files(), status.not_read_folders()));
    line("Pending", std::to_string(status.pending()));
    line("Retries", fmt::format("{}, {} resends", shown.retries(), shown.resends()));
    line("Workers",
         fmt::format("{} with {} threads, {} associations", shown.workers(), shown.threads(), shown.associations()));
    for (const auto& ignored : status.ignored()) {
      line("Ignored", fmt::format("{} {}", ignored.files(), ignored.reason()));
    }
    for (const auto& reason : shown.failure_reasons()) {
      line("Failure", fmt::format("{} times: {}", reason.instances(), reason.reason()));
    }
    if (!shown.summary_file().empty()) line("Summary", shown.summary_file());
    return text;
  });
}

Done Commands::Summary() {
  if (!json()) {
    const auto report = Report();
    if (!report) return tl::unexpected(report.error());
    if (!HasEnded(report->status().state())) {
      return tl::unexpected(CtlFailure{
          kExitRefused,
          fmt::format("session {} has not ended: 'dicom-ctl show' tells how far it is", options_.subject)});
    }
    output_(RenderSummary(SummaryOf(*report), TerminalStyle{}));
    return {};
  }
  wire::ClientRequest request;
  request.mutable_read_summary()->set_session(options_.subject);
  for (;;) {
    const auto reply = Ask(request);
    if (!reply) return tl::unexpected(reply.error());
    output_(reply->summary_part().data());
    if (reply->summary_part().next_offset() == 0) return {};
    request.mutable_read_summary()->set_offset(reply->summary_part().next_offset());
  }
}

// They may be millions: shown page by page, as JSON one object a line.
Done Commands::Failures() {
  wire::ClientRequest request;
  request.mutable_list_failures()->set_session(options_.subject);
  request.mutable_list_failures()->set_limit(kFailuresPerPage);
  for (bool first = true;; first = false) {
    const auto reply = Ask(request);
    if (!reply) return tl::unexpected(reply.error());
    std::string text =
        first && !json() ? fmt::format(kFailureRow, "STATUS", "ATTEMPTS", "WORKER", "PATH", "REASON") : "";
    for (const auto& failure : reply->failures().failures()) {
      if (json()) {
        text += ToJson(failure) + "\n";
        continue;
      }
      const std::string status = failure.has_status() ? DimseStatusText(failure.status()) : "-";
      const std::string worker = failure.has_worker() ? ToPrintable(failure.worker()) : "-";
      text += fmt::format(kFailureRow, status, failure.attempts(), worker, ToPrintable(failure.path()),
                          ToPrintable(ReasonOf(failure)));
    }
    output_(text);
    if (!reply->failures().has_next()) return {};
    *request.mutable_list_failures()->mutable_cursor() = reply->failures().next();
  }
}

// Why the worker does not get all studies; empty: it does.
std::string TroubleOf(const wire::WorkerList::Entry& worker) {
  std::vector<std::string> troubles;
  if (!worker.not_ready().empty()) troubles.push_back(ToPrintable(worker.not_ready()));
  for (const auto& quarantined : worker.quarantined()) {
    troubles.push_back(ToPrintable(quarantined.what()) + ": " + ToPrintable(quarantined.reason()));
  }
  return fmt::format("{}", fmt::join(troubles, "; "));
}

Done Commands::Workers() {
  wire::ClientRequest request;
  request.mutable_list_workers();
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return Show(reply->workers(), [](const wire::WorkerList& list) {
    Table table({"WORKER", "STATE", "ASSOCIATIONS", "STUDIES", "LAST SEEN", "TROUBLE"});
    for (const auto& worker : list.workers()) {
      table.Add({worker.worker(), worker.state(), std::to_string(worker.capacity()), std::to_string(worker.leases()),
                 fmt::format("{:.1f} s ago", static_cast<double>(worker.last_seen_ms()) / 1000), TroubleOf(worker)});
    }
    return table.Text();
  });
}

Done Commands::Destinations() {
  wire::ClientRequest request;
  request.mutable_list_destinations();
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return Show(reply->destinations(), [](const wire::DestinationList& list) {
    Table table({"DESTINATION", "STATE", "STUDIES", "WAITING", "LIMIT", "WAITS FOR"});
    for (const auto& destination : list.destinations()) {
      table.Add({destination.destination(), destination.state(), std::to_string(destination.leases()),
                 std::to_string(destination.ready()),
                 destination.has_limit() ? std::to_string(destination.limit()) : "", destination.trouble()});
    }
    return table.Text();
  });
}

Done Commands::Direct(const wire::ClientRequest& request) {
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return ShowState(reply->session());
}

Done Commands::ShowState(const wire::SessionStatus& shown) {
  return Show(shown, [](const wire::SessionStatus& status) {
    return fmt::format("session {} is {}\n", status.session(), StateText(status));
  });
}

Done Commands::Resume() {
  wire::ClientRequest get;
  get.mutable_get_session()->set_session(options_.subject);
  const auto before = Ask(get);
  if (!before) return tl::unexpected(before.error());
  if (options_.retry_failed && !HasEnded(before->session().state())) {
    return tl::unexpected(CtlFailure{
        kExitRefused,
        fmt::format("session {} is open: 'dicom-ctl requeue' sends again what failed in it", options_.subject)});
  }
  wire::ClientRequest request;
  request.mutable_open_session()->set_session(options_.subject);
  request.mutable_open_session()->set_resume(true);
  request.mutable_open_session()->set_retry_failed(options_.retry_failed);
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  if (reply->session().stopping()) {
    return tl::unexpected(CtlFailure{
        kExitRefused, fmt::format("session {} is still stopping: try again when its {} studies under way have ended",
                                  options_.subject, reply->session().leases())});
  }
  return ShowState(reply->session());
}

Done Commands::Requeue() {
  wire::ClientRequest request;
  auto* requeue = request.mutable_requeue_instances();
  requeue->set_session(options_.subject);
  if (options_.status) requeue->set_status(*options_.status);
  if (options_.study) requeue->set_study_instance_uid(*options_.study);
  if (options_.reason) requeue->set_reason(*options_.reason);
  if (options_.worker) requeue->set_worker(*options_.worker);
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return Show(reply->requeue_ack(), [this](const wire::RequeueAck& ack) {
    if (ack.instances() == 0) return NothingRequeued(options_);
    return fmt::format("{} instances are to be sent again\n", ack.instances());
  });
}

Done Commands::Drain() {
  wire::ClientRequest request;
  request.mutable_drain_worker()->set_worker(options_.subject);
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return Show(reply->drain_ack(), [this](const wire::DrainAck&) {
    return fmt::format("worker {} is told to drain\n", ToPrintable(options_.subject));
  });
}

Done MakeKeys(const CtlOptions& options, const CtlOutput& output) {
  const auto files = MakeKeyFiles(options.output_dir, options.subject);
  if (!files) return tl::unexpected(CtlFailure{kExitUsage, files.error()});
  output(fmt::format("{}   public: give it to the other side\n{}   secret: keep it here\n", files->public_file,
                     files->secret_file));
  return {};
}

}  // namespace

tl::expected<void, CtlFailure> RunCommand(const CtlOptions& options, const CtlOutput& output) {
  if (options.command == CtlCommand::kKeygen) return MakeKeys(options, output);
  const auto security = ReadSecurity(options.connection);
  if (!security) return tl::unexpected(CtlFailure{kExitUsage, security.error()});
  return Commands(options, *security ? &**security : nullptr, output).Run();
}

}  // namespace dicom_sender
