// What must hold after each step. Throws Violation where it does not.
#pragma once

#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "coordinator/service/service.h"
#include "tests/sim/world.h"

namespace dicom_sender {

class Checker {
 public:
  explicit Checker(World& world) : world_(world) {}

  // --- what was asked, to know what an acknowledgement promises
  void Published(const std::string& peer, std::uint64_t request_id, const wire::PublishBatch& batch);
  void Reported(const wire::Report& report);
  void Announced(const std::string& peer, const wire::WorkerStatus& status);
  // Of BeginScan and of an operator's commands.
  void Commanded(const std::string& peer, const wire::ClientRequest& command);
  void Scanned(const wire::ScanComplete& scan);
  void RetriesFailed() { retries_failed_ = true; }

  // --- what happened
  void Restarted(Ledger& ledger);
  void Committed(Ledger& ledger, const Service& service);
  // `handled_at`: when the step began that says it.
  void Spoken(Ledger& ledger, const Outgoing& outgoing, TimePoint handled_at);
  // Every session has ended, and nothing will happen any more.
  void Settled(Ledger& ledger);

 private:
  struct Row {
    const SimFile* file = nullptr;
    InstanceState state = InstanceState::kPending;
    std::uint32_t attempts = 0;
    bool was_to_be_sent = false;
  };

  void CheckSession(Ledger& ledger, const SessionRecord& session);
  void CheckEnd(const SessionRecord& session);
  void CheckStudy(Ledger& ledger, const StudyRecord& study, Counts& session);
  void LearnRows(Ledger& ledger, const StudyRecord& study, std::vector<Row>& rows);
  void CheckRow(const Row& row, const InstanceFacts& now);
  void CheckCopies(const SessionRecord& session);
  bool HasFailed(const SimFile& file) const;
  void CheckPromises(Ledger& ledger);
  void Answered(Ledger& ledger, const std::string& peer, const wire::ClientReply& reply);
  void CheckGrant(const std::string& peer, const wire::LeaseGrant& grant);
  void CheckStatusAck(Ledger& ledger, const std::string& peer, const wire::StatusAck& ack, TimePoint handled_at);
  void CheckReportAck(Ledger& ledger, const wire::ReportAck& ack);
  void CheckNotCancelled(Ledger& ledger, LeaseId lease);
  void CheckResends(const SessionRecord& session);
  void CheckFailed(const Row& row);

  World& world_;
  std::map<StudyKey, std::vector<Row>> studies_;  // as committed last
  std::map<SessionKey, SessionRecord> sessions_;
  std::set<std::string> known_;  // paths in the ledger
  std::map<std::pair<std::string, std::uint64_t>, std::vector<std::string>> published_;
  std::set<std::string> promised_paths_, promised_sessions_;
  std::map<std::pair<LeaseId, std::uint64_t>, std::vector<std::uint32_t>> reported_stored_;  // by lease and number
  bool retries_failed_ = false;

  std::set<std::pair<std::string, std::uint64_t>> draining_statuses_;  // by peer and number
  std::map<std::pair<std::string, std::uint64_t>, wire::ClientRequest> commands_;
  struct Scans {
    std::uint64_t begun = 0;  // the last one that was acknowledged
    std::uint64_t ended = 0;  // the last one that its indexer called complete
  };
  std::map<std::string, std::map<std::string, Scans>> scans_;  // by session and indexer
  LeaseId last_granted_ = 0;
  // What this leader, or this life of it, has acknowledged.
  std::set<std::string> drained_;                   // peers: lives of workers that want no more, or are to have none
  std::map<std::string, std::string> peers_;        // the last life of each worker that was answered
  std::map<std::string, TimePoint> last_answered_;  // by peer
  std::map<SessionKey, LeaseId> cancelled_;         // its leases up to this one are revoked
};

}  // namespace dicom_sender
