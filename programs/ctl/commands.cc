#include "programs/ctl/commands.h"

#include <fmt/format.h>

#include "cli/exit_status.h"
#include "cli/render.h"
#include "common/text.h"
#include "programs/ctl/tables.h"
#include "proto/words.h"
#include "session/json.h"
#include "session/session_view.h"

namespace dicom_sender {
namespace {

constexpr std::uint32_t kSessionsPerPage = 100, kFailuresPerPage = 300;

using Done = tl::expected<void, CtlFailure>;
template <class Value>
using Result = tl::expected<Value, CtlFailure>;

class Commands {
 public:
  Commands(const CtlOptions& options, const ClientSecurity* security, const CtlOutput& output)
      : options_(options), output_(output), client_(context_, options.connection.coordinators(), security) {}

  Done Run();

 private:
  Result<wire::ClientReply> Ask(const wire::ClientRequest& request);
  bool json() const { return options_.format == CtlFormat::kJson; }
  // Prints one message, as JSON or as `table` renders it.
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
  return Show(all, SessionsTable);
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
  return Show(*report, SessionText);
}

Done Commands::Summary() {
  if (!json()) {
    const auto report = Report();
    if (!report) return tl::unexpected(report.error());
    if (!HasEnded(report->status().state())) {
      return tl::unexpected(
          CtlFailure{kExitRefused,
                     fmt::format("session {} has not ended: 'dicom-ctl show' shows its progress", options_.subject)});
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

// Prints failures page by page, because there may be millions of them; as JSON, one object per line.
Done Commands::Failures() {
  wire::ClientRequest request;
  request.mutable_list_failures()->set_session(options_.subject);
  request.mutable_list_failures()->set_limit(kFailuresPerPage);
  for (bool first = true;; first = false) {
    const auto reply = Ask(request);
    if (!reply) return tl::unexpected(reply.error());
    std::string text = first && !json() ? FailuresHeading() : "";
    for (const auto& failure : reply->failures().failures()) {
      text += json() ? ToJson(failure) + "\n" : FailureLine(failure);
    }
    output_(text);
    if (!reply->failures().has_next()) return {};
    *request.mutable_list_failures()->mutable_cursor() = reply->failures().next();
  }
}

Done Commands::Workers() {
  wire::ClientRequest request;
  request.mutable_list_workers();
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return Show(reply->workers(), WorkersTable);
}

Done Commands::Destinations() {
  wire::ClientRequest request;
  request.mutable_list_destinations();
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return Show(reply->destinations(), DestinationsTable);
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
    return tl::unexpected(
        CtlFailure{kExitRefused,
                   fmt::format("session {} is still stopping: try again when the {} studies in progress have ended",
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
    return fmt::format("{} instances will be sent again\n", ack.instances());
  });
}

Done Commands::Drain() {
  wire::ClientRequest request;
  request.mutable_drain_worker()->set_worker(options_.subject);
  const auto reply = Ask(request);
  if (!reply) return tl::unexpected(reply.error());
  return Show(reply->drain_ack(), [this](const wire::DrainAck&) {
    return fmt::format("worker {} drains\n", ToPrintable(options_.subject));
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
