// The invariants that are checked after each step. Throws Violation if one does not hold.
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

  // --- requests, which define what an acknowledgement promises
  void Published(const std::string& peer, std::uint64_t request_id, const wire::PublishBatch& batch);
  void Reported(const wire::Report& report);
  void Announced(const std::string& peer, const wire::WorkerStatus& status);
  // Called for BeginScan and for an operator's commands.
  void Commanded(const std::string& peer, const wire::ClientRequest& command);
  void Scanned(const wire::ScanComplete& scan);
  void RetriesFailed() { retries_failed_ = true; }

  // --- events
  void Restarted(Ledger& ledger);
  void Committed(Ledger& ledger, const Service& service);
  // `handled_at`: when the step that produced the message began.
  void Spoken(Ledger& ledger, const Outgoing& outgoing, TimePoint handled_at);
  // Called when every session has ended and no more events will come.
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
  std::map<StudyKey, std::vector<Row>> studies_;  // as of the last commit
  std::map<SessionKey, SessionRecord> sessions_;
  std::set<std::string> known_;  // paths in the ledger
  std::map<std::pair<std::string, std::uint64_t>, std::vector<std::string>> published_;
  std::set<std::string> promised_paths_, promised_sessions_;
  std::map<std::pair<LeaseId, std::uint64_t>, std::vector<std::uint32_t>> reported_stored_;  // by lease and report
  bool retries_failed_ = false;

  std::set<std::pair<std::string, std::uint64_t>> draining_statuses_;  // by peer and status number
  std::map<std::pair<std::string, std::uint64_t>, wire::ClientRequest> commands_;
  struct Scans {
    std::uint64_t begun = 0;  // the last acknowledged one
    std::uint64_t ended = 0;  // the last one that its indexer completed
  };
  std::map<std::string, std::map<std::string, Scans>> scans_;  // by session and indexer
  LeaseId last_granted_ = 0;
  // What the current leader, or the current life of a single coordinator, has acknowledged.
  std::set<std::string> drained_;                   // peers: lives of workers that drain or were asked to
  std::map<std::string, std::string> peers_;        // the last answered life of each worker
  std::map<std::string, TimePoint> last_answered_;  // by peer
  std::map<SessionKey, LeaseId> cancelled_;         // leases up to this one are revoked
};

}  // namespace dicom_sender
