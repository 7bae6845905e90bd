// Handles the messages of workers: statuses, page requests, and reports.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "common/text.h"
#include "coordinator/service/replies.h"
#include "coordinator/service/service.h"
#include "proto/limits.h"

namespace dicom_sender {
namespace {

// Small, because any instance that was handed out under a lost lease may have been sent. If it is sent again, that
// counts as a resend.
constexpr std::size_t kPageInstances = 128;
static_assert(kPageInstances <= kPageInstancesMax);
constexpr std::size_t kWorkersMax = kListedWorkersMax;

// An incarnation is the wall-clock time in nanoseconds when the worker started.
std::string Superseded(const std::string& worker, std::uint64_t nanoseconds) {
  return fmt::format(
      "another worker named '{}' has started since, or this one's clock was set back by at least {:.1f} s; give each "
      "worker its own --worker-id, or correct the clock and restart the worker",
      worker, std::chrono::duration<double>(Duration(nanoseconds)).count());
}

}  // namespace

void Service::Handle(const PeerMessage& incoming, const wire::WorkerStatus& status, const Moment& moment) {
  const std::string& worker = status.worker_id();
  if (scheduler_.IsSuperseded(worker, status.incarnation())) {
    return Refuse(incoming, Superseded(worker, scheduler_.incarnation_of(worker) - status.incarnation()),
                  /*for_good=*/true, moment);
  }
  // A name belongs to the key of the first worker that used it, because its leases were granted to that key.
  const auto known = connections_.find(worker);
  if (known != connections_.end() && scheduler_.Knows(worker) && known->second.key != incoming.key) {
    return Refuse(incoming,
                  fmt::format("worker '{}' is connected with another key; give each worker its own --worker-id, or "
                              "wait until that one has timed out",
                              ToPrintable(worker)),
                  /*for_good=*/false, moment);
  }
  if (!scheduler_.Knows(worker)) {
    if (scheduler_.worker_count() >= kWorkersMax) {
      return Refuse(incoming, fmt::format("too many workers: {} are connected already", kWorkersMax),
                    /*for_good=*/false, moment);
    }
    spdlog::info("Worker {} connected, with {} associations", worker, status.capacity());
  }
  WorkerSeen seen{.worker = worker,
                  .incarnation = status.incarnation(),
                  .seq = status.seq(),
                  .capacity = status.capacity(),
                  .draining = status.draining(),
                  .not_ready = status.not_ready(),
                  .held = {}};
  for (const auto& held : status.held()) seen.held.push_back({held.lease_id(), held.progressed()});
  if (scheduler_.IsOvertaken(seen)) return;  // it arrived late, perhaps over a closed connection
  connections_[worker] = {incoming.peer, incoming.key};
  status_seq_ = status.seq();
  Apply(seen, moment);
  status_seq_ = 0;
}

// A lease belongs to the key to which it was granted. Without keys it belongs to the connection of its worker's last
// status; a worker sends its status before anything else.
bool Service::Holds(const PeerMessage& incoming, const LeaseRecord& lease) const {
  if (!lease.identity.empty()) return incoming.key == lease.identity;
  const auto connection = connections_.find(lease.worker);
  return connection == connections_.end() || connection->second.peer.empty() ||
         connection->second.peer == incoming.peer;
}

// The refusal does not name the lease. Otherwise the worker would conclude that the ledger is a different one.
void Service::RefuseStranger(const PeerMessage& incoming, const LeaseRecord& lease, const Moment& moment) {
  Refuse(incoming,
         fmt::format("lease {} was granted to worker {}, over another connection or to another key", lease.id,
                     ToPrintable(lease.worker)),
         /*for_good=*/false, moment);
}

void Service::Handle(const PeerMessage& incoming, const wire::PageRequest& request, const Moment& moment) {
  const auto study = scheduler_.StudyOf(request.lease_id());
  if (study) {
    const auto lease = ledger_.FindLease(request.lease_id());
    if (lease && !Holds(incoming, *lease)) return RefuseStranger(incoming, *lease, moment);
  }
  wire::CoordinatorMessage message;
  if (study) {
    *message.mutable_page() = PageOf(request.lease_id(), *study, request.from_index());
  } else {
    message.mutable_page()->set_lease_id(request.lease_id());
    message.mutable_page()->set_from_index(request.from_index());
  }
  Send(incoming.peer, std::move(message));
}

wire::Page Service::PageOf(LeaseId lease, StudyKey study, std::uint32_t from_index) {
  wire::Page page = ledger_.LoadPage(study, lease, from_index, kPageInstances);
  if (page.instances_size() > 0) ledger_.SetPageEnd(study, page.instances().rbegin()->index() + 1);
  return page;
}

void Service::Handle(const PeerMessage& incoming, const wire::Report& report, const Moment& moment) {
  // A report for a lease that was never granted belongs to another ledger, so it is not acknowledged.
  const auto lease = ledger_.FindLease(report.lease_id());
  if (!lease) {
    return Refuse(incoming, fmt::format("a report for lease {}, which is not in this ledger", report.lease_id()),
                  /*for_good=*/false, moment, report.lease_id());
  }
  if (!Holds(incoming, *lease)) return RefuseStranger(incoming, *lease, moment);
  // The previous report was lost in transit, and the worker will repeat both. If this report were applied first, the
  // previous one would count as a duplicate.
  if (report.seq() > lease->last_report_seq + 1) return;
  if (report.seq() == lease->last_report_seq + 1) ApplyReport(report, *lease, moment);

  wire::CoordinatorMessage message;
  message.mutable_report_ack()->set_lease_id(report.lease_id());
  message.mutable_report_ack()->set_seq(report.seq());
  Send(incoming.peer, std::move(message));
}

void Service::ApplyReport(const wire::Report& report, const LeaseRecord& lease, const Moment& moment) {
  Reported event{.lease = lease.id,
                 .study = lease.study,
                 .suspect_end = lease.suspect_end,
                 .associations = report.associations(),
                 .outcomes = {},
                 .give_back = {}};
  std::map<std::uint32_t, const wire::Outcome*> by_index;
  for (const auto& outcome : report.outcomes()) by_index.emplace(outcome.index(), &outcome);
  std::vector<std::uint32_t> indices;
  indices.reserve(by_index.size());
  for (const auto& [index, outcome] : by_index) indices.push_back(index);
  for (const InstanceFacts& facts : ledger_.LoadInstances(lease.study, indices)) {
    event.outcomes.push_back({*by_index.at(facts.index), facts});
  }
  if (report.has_give_back()) event.give_back = report.give_back();
  const bool late = !scheduler_.StudyOf(lease.id);
  ledger_.RecordReport(lease, report.seq(), report.associations());
  const Settings settings = SettingsOf(lease.session);  // before the report may end the session
  const Output output = Apply(event, moment, lease.worker);
  meter_.ReportApplied(lease.session, *settings, output.changes, by_index, moment.wall);
  if (!late || report.outcomes_size() == 0) return;
  // The summary must include outcomes that arrive after the session has ended.
  const SessionKey session = lease.session;
  if (!IsOpen(session) && std::find(ended_.begin(), ended_.end(), session) == ended_.end()) ended_.push_back(session);
}

wire::ClientReply Service::Answer(const wire::DrainWorker& request, const Moment& moment) {
  if (!scheduler_.Knows(request.worker()))
    return Failed(fmt::format("worker '{}' is not connected", request.worker()));
  Apply(DrainRequested{request.worker()}, moment);
  wire::ClientReply reply;
  reply.mutable_drain_ack();
  return reply;
}

void Service::Tell(const GrantReply& reply) {
  const auto connection = connections_.find(reply.worker);
  const auto session = sessions_.find(reply.session);
  if (connection == connections_.end() || session == sessions_.end()) return;
  wire::CoordinatorMessage message;
  auto* grant = message.mutable_grant();
  grant->set_lease_id(reply.lease);
  grant->set_ttl_ms(TtlMs());
  grant->set_session(session->second->session());
  grant->set_study_instance_uid(ledger_.LoadStudy(reply.study).uid);
  *grant->mutable_destination() = session->second->destination();
  *grant->mutable_send_options() = session->second->send_options();
  for (auto& pair : ledger_.ContextPairs(reply.study, kContextPairsMax)) *grant->add_pairs() = std::move(pair);
  *grant->mutable_first_page() = PageOf(reply.lease, reply.study, 0);
  Send(connection->second.peer, std::move(message));
}

void Service::Tell(const StatusReply& reply) {
  const auto connection = connections_.find(reply.worker);
  if (connection == connections_.end()) return;
  wire::CoordinatorMessage message;
  auto* ack = message.mutable_status_ack();
  ack->set_seq(status_seq_);
  ack->set_ttl_ms(TtlMs());
  ack->set_drain(reply.drain);
  ack->mutable_renewed()->Assign(reply.renewed.begin(), reply.renewed.end());
  ack->mutable_revoked()->Assign(reply.revoked.begin(), reply.revoked.end());
  for (const LeaseId lease : reply.revoked) {
    if (scheduler_.IsRevoked(lease)) ack->add_ended(lease);
  }
  Send(connection->second.peer, std::move(message));
}

std::uint32_t Service::TtlMs() const {
  return static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(scheduler_.lease_ttl()).count());
}

void Service::ForgetSilentWorkers() {
  if (connections_.size() <= scheduler_.worker_count()) return;
  std::erase_if(connections_, [this](const auto& entry) {
    if (scheduler_.Knows(entry.first)) return false;
    spdlog::info("Worker {} timed out: it sent nothing for the lease time", entry.first);
    return true;
  });
}

}  // namespace dicom_sender
