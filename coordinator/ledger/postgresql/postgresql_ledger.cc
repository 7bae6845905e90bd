#include "coordinator/ledger/postgresql/postgresql_ledger.h"

#include "coordinator/ledger/postgresql/copies.h"
#include "coordinator/ledger/postgresql/instances.h"
#include "coordinator/ledger/postgresql/intake.h"
#include "coordinator/ledger/postgresql/leases.h"
#include "coordinator/ledger/postgresql/reports.h"
#include "coordinator/ledger/postgresql/sessions.h"
#include "coordinator/ledger/postgresql/store.h"
#include "coordinator/ledger/postgresql/studies.h"

namespace dicom_sender {
namespace {

// Delegates each function to the part of the store that is responsible for the tables.
class PostgresqlLedger : public Ledger {
 public:
  PostgresqlLedger(const PostgresqlOptions& options, std::uint64_t epoch) : store_(options, epoch) {}

  void Open() { store_.Open(); }

  void Begin() override { store_.Begin(); }
  void Commit() override { store_.Commit(); }

  std::optional<SessionRecord> FindSession(std::string_view uuid) override {
    return postgresql::FindSession(store_, uuid);
  }
  SessionRecord LoadSession(SessionKey session) override { return postgresql::LoadSession(store_, session); }
  std::vector<SessionKey> Sessions() override { return postgresql::Sessions(store_); }
  std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) override {
    return postgresql::Unread(store_, session, after, limit);
  }
  std::vector<ScanRecord> Scans(SessionKey session) override { return postgresql::Scans(store_, session); }
  std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                              const InstanceCursor& after, std::size_t limit) override {
    return postgresql::CopiesToCompare(store_, session, indexer, after, limit);
  }
  StudyRecord LoadStudy(StudyKey study) override { return postgresql::LoadStudy(store_, study); }
  std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) override {
    return postgresql::Studies(store_, session, after, limit);
  }
  std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) override {
    return postgresql::UnsettledStudies(store_, session, after, limit);
  }
  std::vector<StudyRecord> LeasedStudies(SessionKey session) override {
    return postgresql::LeasedStudies(store_, session);
  }
  std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) override {
    return postgresql::ContextPairs(store_, study, limit);
  }
  LeaseId LastLeaseId() override { return postgresql::LastLeaseId(store_); }
  std::optional<LeaseRecord> FindLease(LeaseId lease) override { return postgresql::FindLease(store_, lease); }
  wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) override {
    return postgresql::LoadPage(store_, study, lease, from_index, limit);
  }
  std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) override {
    return postgresql::LoadInstances(store_, study, indices);
  }
  std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                       const InstanceCursor& after, std::size_t limit) override {
    return postgresql::Report(store_, session, states, after, limit);
  }
  FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) override {
    return postgresql::CountFailureReasons(store_, session, limit);
  }
  WorkerCount Workers(SessionKey session) override { return postgresql::Workers(store_, session); }
  std::vector<PairCount> PairCounts(SessionKey session) override { return postgresql::PairCounts(store_, session); }
  SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) override {
    return postgresql::CreateSession(store_, settings, now);
  }
  void SetSettings(SessionKey session, const wire::OpenSession& settings) override {
    postgresql::SetSettings(store_, session, settings);
  }
  bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) override {
    return postgresql::BeginScan(store_, session, indexer, scan);
  }
  void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                    const std::map<std::string, std::uint64_t>& ignored) override {
    postgresql::CompleteScan(store_, session, indexer, scan, ignored);
  }
  void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) override {
    postgresql::AddUnread(store_, session, indexer, paths);
  }
  void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                       WallTime now) override {
    postgresql::SetSessionState(store_, session, state, end_reason, now);
  }
  void BeginRun(SessionKey session, WallTime now) override { postgresql::BeginRun(store_, session, now); }
  void SetEnding(SessionKey session, std::optional<wire::SessionState> state) override {
    postgresql::SetEnding(store_, session, state);
  }
  std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) override {
    return postgresql::Requeue(store_, session, filter);
  }
  std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) override {
    return postgresql::AddStudies(store_, session, batch);
  }
  void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) override {
    postgresql::RecordComparisons(store_, session, comparisons);
  }
  std::vector<PromotedCopy> PromoteCopies(StudyKey study) override {
    return postgresql::PromoteCopies(store_, study);
  }
  void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                  std::uint32_t worker_capacity, WallTime now) override {
    postgresql::GrantLease(store_, study, lease, worker, identity, worker_capacity, now);
  }
  std::uint64_t EndLease(StudyKey study, bool clean) override { return postgresql::EndLease(store_, study, clean); }
  void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) override {
    postgresql::RecordReport(store_, lease, seq, associations);
  }
  void SetPageEnd(StudyKey study, std::uint32_t page_end) override {
    postgresql::SetPageEnd(store_, study, page_end);
  }
  void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) override {
    postgresql::ChangeInstances(store_, changes, now);
  }
  std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) override {
    return postgresql::FailStudy(store_, study, reason, now);
  }

 private:
  postgresql::Store store_;
};

}  // namespace

tl::expected<std::unique_ptr<Ledger>, LedgerTrouble> OpenPostgresqlLedger(const PostgresqlOptions& options,
                                                                          std::uint64_t epoch) {
  try {
    auto ledger = std::make_unique<PostgresqlLedger>(options, epoch);
    ledger->Open();
    return ledger;
  } catch (const PostgresqlError& error) {
    return tl::unexpected(LedgerTrouble{error.what(), error.cause().passing});
  }
}

}  // namespace dicom_sender
