// Forwards all calls to another ledger, and fails on request as a full disk or a lost server would.
#pragma once

#include <memory>
#include <utility>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

enum class LedgerFault {
  kNone,
  kBegin,
  kOutcomes,    // the first write of outcomes in the transaction
  kCommitLost,  // Commit() fails, and nothing was written
  kCommitKept,  // Commit() fails although everything was written: only the answer was lost
};

class FaultLedger : public Ledger {
 public:
  explicit FaultLedger(std::unique_ptr<Ledger> ledger) : ledger_(std::move(ledger)) {}

  void FailNext(LedgerFault fault) { fault_ = fault; }
  // Begins the next transaction in advance.
  void BeginEarly() {
    Begin();
    begun_ = true;
  }

  void Begin() override {
    if (std::exchange(begun_, false)) return;
    Fail(LedgerFault::kBegin);
    ledger_->Begin();
  }
  void Commit() override {
    Fail(LedgerFault::kCommitLost);
    ledger_->Commit();
    Fail(LedgerFault::kCommitKept);
  }

  SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) override {
    return ledger_->CreateSession(settings, now);
  }
  std::optional<SessionRecord> FindSession(std::string_view uuid) override { return ledger_->FindSession(uuid); }
  SessionRecord LoadSession(SessionKey session) override { return ledger_->LoadSession(session); }
  std::vector<SessionKey> Sessions() override { return ledger_->Sessions(); }
  void SetSettings(SessionKey session, const wire::OpenSession& settings) override {
    ledger_->SetSettings(session, settings);
  }
  bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) override {
    return ledger_->BeginScan(session, indexer, scan);
  }
  void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                    const std::map<std::string, std::uint64_t>& ignored) override {
    ledger_->CompleteScan(session, indexer, scan, ignored);
  }
  void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) override {
    ledger_->AddUnread(session, indexer, paths);
  }
  std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) override {
    return ledger_->Unread(session, after, limit);
  }
  std::vector<ScanRecord> Scans(SessionKey session) override { return ledger_->Scans(session); }
  void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                       WallTime now) override {
    ledger_->SetSessionState(session, state, end_reason, now);
  }
  void BeginRun(SessionKey session, WallTime now) override { ledger_->BeginRun(session, now); }
  void SetEnding(SessionKey session, std::optional<wire::SessionState> state) override {
    ledger_->SetEnding(session, state);
  }
  std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) override {
    return ledger_->Requeue(session, filter);
  }
  std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) override {
    return ledger_->AddStudies(session, batch);
  }
  std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                              const InstanceCursor& after, std::size_t limit) override {
    return ledger_->CopiesToCompare(session, indexer, after, limit);
  }
  void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) override {
    ledger_->RecordComparisons(session, comparisons);
  }
  std::vector<PromotedCopy> PromoteCopies(StudyKey study) override { return ledger_->PromoteCopies(study); }
  StudyRecord LoadStudy(StudyKey study) override { return ledger_->LoadStudy(study); }
  std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) override {
    return ledger_->Studies(session, after, limit);
  }
  std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) override {
    return ledger_->UnsettledStudies(session, after, limit);
  }
  LeaseId LastLeaseId() override { return ledger_->LastLeaseId(); }
  std::optional<LeaseRecord> FindLease(LeaseId lease) override { return ledger_->FindLease(lease); }
  void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                  std::uint32_t worker_capacity, WallTime now) override {
    ledger_->GrantLease(study, lease, worker, identity, worker_capacity, now);
  }
  std::uint64_t EndLease(StudyKey study, bool clean) override { return ledger_->EndLease(study, clean); }
  std::vector<StudyRecord> LeasedStudies(SessionKey session) override { return ledger_->LeasedStudies(session); }
  void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) override {
    ledger_->RecordReport(lease, seq, associations);
  }
  std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) override {
    return ledger_->ContextPairs(study, limit);
  }
  wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) override {
    return ledger_->LoadPage(study, lease, from_index, limit);
  }
  void SetPageEnd(StudyKey study, std::uint32_t page_end) override { ledger_->SetPageEnd(study, page_end); }
  std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) override {
    return ledger_->LoadInstances(study, indices);
  }
  void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) override {
    Fail(LedgerFault::kOutcomes);
    ledger_->ChangeInstances(changes, now);
  }
  std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) override {
    Fail(LedgerFault::kOutcomes);
    return ledger_->FailStudy(study, reason, now);
  }
  std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                       const InstanceCursor& after, std::size_t limit) override {
    return ledger_->Report(session, states, after, limit);
  }
  FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) override {
    return ledger_->CountFailureReasons(session, limit);
  }
  WorkerCount Workers(SessionKey session) override { return ledger_->Workers(session); }
  std::vector<PairCount> PairCounts(SessionKey session) override { return ledger_->PairCounts(session); }

 private:
  void Fail(LedgerFault here) {
    if (fault_ != here) return;
    fault_ = LedgerFault::kNone;
    throw LedgerError("the store fails");
  }

  std::unique_ptr<Ledger> ledger_;
  LedgerFault fault_ = LedgerFault::kNone;
  bool begun_ = false;
};

}  // namespace dicom_sender
