// The coordinator's step: messages in, one ledger transaction, messages out.
//
// In one step, Step() begins a transaction and takes the messages in their order:
// - A client's question is answered by Queries, from the ledger and the scheduler; nothing changes.
// - What a client or an indexer wants changed is written to the ledger, and the scheduler learns of it by an event.
// - What a worker says becomes an event. The facts that the scheduler needs to judge a report are read from the
// ledger
//   once, go with the event, and return with the changes.
// After each event, Apply() writes the changes that the scheduler wants and keeps the messages that it wants sent. A
// Tick comes last, and then the commit. Persist, then speak: whatever Step() returns may be sent.
//
// Knows no socket and no thread; the loop (coordinator_loop.h) feeds it, and so can a simulation. A LedgerError that
// leaves Step() means that memory may be ahead of the ledger: the object must not be used any more.
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
  std::optional<TimePoint> wake_at;  // Step again by then, with or without messages
  std::vector<SessionKey> ended;     // sessions: their summary can be written
};

class Service {
 public:
  // `output_dir`: where SummaryWriter writes the summaries of ended sessions; empty: nowhere. `progress` is noted
  // while a session is read from the ledger. `name_endpoint` says which destinations are reached at one address;
  // without it, each one is separate.
  Service(Ledger& ledger, SchedulerOptions options, CoordinatorMetrics& metrics, std::string output_dir,
          Progress progress = {}, NameEndpoint name_endpoint = {});

  // Continues every session that an earlier coordinator left open; clients need not know that there was another one.
  // Before the first Step(), if at all.
  StepResult ResumeSessions(TimePoint now, WallTime wall);
  StepResult Step(const std::vector<PeerMessage>& messages, TimePoint now, WallTime wall);

  // What the status page shows; updates the gauges of the destinations. Between two steps, about once a second.
  wire::Overview Look(TimePoint now, WallTime wall);
  // For what dicom-ctl shows; Look() does it, too. Between two steps, about once a second.
  void MeasurePaces(TimePoint now);

  // See Scheduler::CheckInvariants().
  void CheckInvariants() const { scheduler_.CheckInvariants(); }

 private:
  struct Moment {
    TimePoint now;
    WallTime wall;
  };
  using Settings = std::shared_ptr<const wire::OpenSession>;

  // --- service.cc: the step, and who handles which message
  void HandleMessage(const PeerMessage& incoming, const Moment& moment);
  void Handle(const PeerMessage& incoming, const wire::WorkerMessage& message, const Moment& moment);
  wire::ClientReply Answer(const wire::ClientRequest& request, const Moment& moment);
  // The answer about a session, if there is one with this UUID.
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
  Settings SettingsOf(SessionKey session) const;  // of an open session from memory, of others from the ledger

  // --- service_sessions.cc: what a session goes through
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

  // --- service_indexers.cc: what indexers find
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
  // `reporter`: the worker whose report the event is.
  Output Apply(const Event& event, const Moment& moment, std::string_view reporter = {});
  // All but the sessions' changes. Returns the copies that are sent in the place of what has failed.
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
  std::map<SessionKey, Settings> sessions_;  // those that the scheduler knows
  std::set<SessionKey> suspended_;           // those that wait to be resumed
  struct WorkerConnection {
    std::string peer;  // the connection of its last message; empty: none since the coordinator started
    std::string key;   // that it has named itself with
  };
  std::map<std::string, WorkerConnection> connections_;  // of each worker
  std::uint64_t status_seq_ = 0;                         // of the WorkerStatus that is being answered; 0: none
  std::vector<Outgoing> outgoing_;
  std::vector<SessionKey> ended_;
};

}  // namespace dicom_sender
