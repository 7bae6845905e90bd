// The coordinator's step: messages in, one ledger transaction, messages out.
//
// Step() begins a transaction and handles the messages in order:
// - A query of a client changes nothing. Queries answers it from the ledger and the scheduler.
// - A change that a client or an indexer requests is written to the ledger and passed to the scheduler as an event.
// - A message of a worker becomes an event. The facts that the scheduler needs to judge a report are read from the
//   ledger once, passed with the event, and returned with the changes.
// After each event, Apply() writes the scheduler's changes to the ledger and queues its messages. A Tick comes last,
// followed by the commit. The messages are returned only after the commit, so everything that is sent is durable.
//
// This class uses no sockets and no threads. The loop (coordinator_loop.h) or a simulation calls it. After Step() has
// thrown a LedgerError, memory may be ahead of the ledger, and the object must not be used any more.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/progress.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/service/endpoint_names.h"
#include "coordinator/service/meter.h"
#include "coordinator/service/metrics.h"
#include "coordinator/service/paces.h"
#include "coordinator/service/queries.h"
#include "coordinator/service/replies.h"
#include "envelope.pb.h"
#include "transport/peer_message.h"
#include "transport/refusals.h"

namespace dicom_sender {

struct Outgoing {
  std::string peer;
  wire::FromCoordinator message;
};

struct StepResult {
  std::vector<Outgoing> messages;
  std::optional<TimePoint> wake_at;  // when to call Step() again at the latest
  std::vector<SessionKey> ended;     // sessions whose summary can be written
};

class Service {
 public:
  // `output_dir`: where SummaryWriter writes the summaries of ended sessions; empty: nowhere. Notes `progress` while
  // it reads a session from the ledger. `name_endpoint` tells which destinations have the same address; without it,
  // every destination counts as separate.
  Service(Ledger& ledger, SchedulerOptions options, CoordinatorMetrics& metrics, std::string output_dir,
          Progress progress = {}, NameEndpoint name_endpoint = {});

  // Continues every session that an earlier coordinator left open, transparently to the clients. Call it before the
  // first Step(), or not at all.
  StepResult ResumeSessions(TimePoint now, WallTime wall);
  StepResult Step(const std::vector<PeerMessage>& messages, TimePoint now, WallTime wall);

  // Returns what the status page shows, and updates the gauges of the destinations. Call it between two steps, about
  // once per second.
  wire::Overview Look(TimePoint now, WallTime wall);
  // Updates the rates that dicom-ctl shows, as Look() does, too. Call it between two steps, about once per second.
  void MeasurePaces(TimePoint now);

  // See Scheduler::CheckInvariants().
  void CheckInvariants() const { scheduler_.CheckInvariants(); }

 private:
  struct Moment {
    TimePoint now;
    WallTime wall;
  };
  using Settings = std::shared_ptr<const wire::OpenSession>;

  // --- service.cc: the step, and the dispatch of messages
  void HandleMessage(const PeerMessage& incoming, const Moment& moment);
  void Handle(const PeerMessage& incoming, const wire::WorkerMessage& message, const Moment& moment);
  wire::ClientReply Answer(const wire::ClientRequest& request, const Moment& moment);
  // Calls `ask` with the session of this UUID, or refuses the request if the session does not exist.
  template <class Ask>
  wire::ClientReply About(const std::string& uuid, Ask ask) {
    auto record = ledger_.FindSession(uuid);
    return record ? ask(*std::move(record)) : NoSuchSession(uuid);
  }
  wire::ClientReply StatusAfterChange(SessionKey session, const Moment& moment) const;
  void Refuse(const PeerMessage& incoming, const std::string& reason, bool for_good, const Moment& moment,
              LeaseId lease = 0);
  void Send(const std::string& peer, wire::CoordinatorMessage message);
  bool IsOpen(SessionKey session) const { return sessions_.contains(session); }
  std::vector<SessionRecord> OpenSessions() const;
  Settings SettingsOf(SessionKey session) const;  // from memory for an open session, otherwise from the ledger

  // --- service_sessions.cc: the life cycle of sessions
  wire::ClientReply Answer(const wire::OpenSession& request, const Moment& moment);
  wire::ClientReply Answer(const wire::SuspendSession& request, const Moment& moment);
  wire::ClientReply Answer(const wire::CancelSession& request, const Moment& moment);
  wire::ClientReply Answer(const wire::RequeueInstances& request, const Moment& moment);
  void Resume(SessionRecord record, const wire::OpenSession& request, const Moment& moment);
  void Continue(const SessionRecord& record, const Moment& moment);
  void Reopen(const SessionRecord& record, const Moment& moment);
  void OpenInScheduler(const SessionRecord& record, const Moment& moment);
  void RestoreLeases(SessionKey session, const Moment& moment);
  void FeedFromLedger(SessionKey session, const Moment& moment);
  void End(SessionKey session, wire::SessionState state, const Moment& moment);

  // --- service_indexers.cc: the messages of indexers
  wire::ClientReply Answer(const wire::BeginScan& request, const Moment& moment);
  wire::ClientReply Answer(const wire::PublishBatch& request, const Moment& moment);
  wire::ClientReply Answer(const wire::RecordComparisons& request);
  wire::ClientReply Answer(const wire::ScanComplete& request, const Moment& moment);

  // --- service_workers.cc: the messages of workers and the answers to them
  void Handle(const PeerMessage& incoming, const wire::WorkerStatus& status, const Moment& moment);
  void Handle(const PeerMessage& incoming, const wire::PageRequest& request, const Moment& moment);
  void Handle(const PeerMessage& incoming, const wire::Report& report, const Moment& moment);
  void ApplyReport(const wire::Report& report, const LeaseRecord& lease, const Moment& moment);
  bool Holds(const PeerMessage& incoming, const LeaseRecord& lease) const;
  void RefuseStranger(const PeerMessage& incoming, const LeaseRecord& lease, const Moment& moment);
  wire::ClientReply Answer(const wire::DrainWorker& request, const Moment& moment);
  void Tell(const GrantReply& reply);
  void Tell(const StatusReply& reply);
  wire::Page PageOf(LeaseId lease, StudyKey study, std::uint32_t from_index);
  std::uint32_t TtlMs() const;
  void ForgetSilentWorkers();

  // --- service_changes.cc: the scheduler's output
  // `reporter`: the worker that sent the report, if the event is a report.
  Output Apply(const Event& event, const Moment& moment, std::string_view reporter = {});
  // Writes all changes except those of sessions. Returns the copies that will be sent in place of failed instances.
  std::vector<PromotedCopy> Write(const std::vector<LedgerChange>& changes, const Moment& moment);
  void WriteSessions(const std::vector<LedgerChange>& changes, const std::vector<PromotedCopy>& promoted,
                     const Moment& moment);
  void Write(const SessionChanged& change, const Moment& moment);
  void FailStudy(const StudyFailed& change, const Moment& moment);
  void NoteUncleanEnd(const LeaseEnded& ended);
  void NoteQuarantine(const QuarantineBegun& begun);

  Ledger& ledger_;
  Scheduler scheduler_;
  SessionPaces paces_;
  Queries queries_;
  CoordinatorMetrics& metrics_;
  NameEndpoint name_endpoint_;
  Progress progress_;
  Meter meter_;
  Refusals refusals_;
  std::map<SessionKey, Settings> sessions_;  // the open sessions
  std::set<SessionKey> suspended_;           // the suspended sessions
  struct WorkerConnection {
    std::string peer;  // the connection of its last status; empty: none since the coordinator started
    std::string key;   // its public key, if keys are in use
  };
  std::map<std::string, WorkerConnection> connections_;  // by worker
  std::uint64_t status_seq_ = 0;                         // of the WorkerStatus that is being handled; 0: none
  std::vector<Outgoing> outgoing_;
  std::vector<SessionKey> ended_;
};

}  // namespace dicom_sender
