#include "coordinator/ledger/sqlite/sqlite_ledger.h"

#include <fmt/format.h>

#include <utility>

#include "coordinator/ledger/sqlite/copies.h"
#include "coordinator/ledger/sqlite/instances.h"
#include "coordinator/ledger/sqlite/intake.h"
#include "coordinator/ledger/sqlite/leases.h"
#include "coordinator/ledger/sqlite/ledger_lock.h"
#include "coordinator/ledger/sqlite/open.h"
#include "coordinator/ledger/sqlite/reports.h"
#include "coordinator/ledger/sqlite/sessions.h"
#include "coordinator/ledger/sqlite/store.h"
#include "coordinator/ledger/sqlite/studies.h"

namespace dicom_sender {
namespace {

// Delegates each function to the part of the store that is responsible for the tables.
class SqliteLedger : public Ledger {
 public:
  SqliteLedger(const std::string& file, LedgerLock lock) : lock_(std::move(lock)), store_(file) {}

  // Calls sqlite::Prepare(), which must come first.
  tl::expected<void, std::string> Prepare() { return sqlite::Prepare(store_.db()); }

  void Begin() override {
    Guarded([&] { store_.Begin(); });
  }
  void Commit() override {
    Guarded([&] { store_.Commit(); });
  }

  std::optional<SessionRecord> FindSession(std::string_view uuid) override {
    return Guarded([&] { return sqlite::FindSession(store_, uuid); });
  }
  SessionRecord LoadSession(SessionKey session) override {
    return Guarded([&] { return sqlite::LoadSession(store_, session); });
  }
  std::vector<SessionKey> Sessions() override {
    return Guarded([&] { return sqlite::Sessions(store_); });
  }
  std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) override {
    return Guarded([&] { return sqlite::Unread(store_, session, after, limit); });
  }
  std::vector<ScanRecord> Scans(SessionKey session) override {
    return Guarded([&] { return sqlite::Scans(store_, session); });
  }
  std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                              const InstanceCursor& after, std::size_t limit) override {
    return Guarded([&] { return sqlite::CopiesToCompare(store_, session, indexer, after, limit); });
  }
  StudyRecord LoadStudy(StudyKey study) override {
    return Guarded([&] { return sqlite::LoadStudy(store_, study); });
  }
  std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) override {
    return Guarded([&] { return sqlite::Studies(store_, session, after, limit); });
  }
  std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) override {
    return Guarded([&] { return sqlite::UnsettledStudies(store_, session, after, limit); });
  }
  std::vector<StudyRecord> LeasedStudies(SessionKey session) override {
    return Guarded([&] { return sqlite::LeasedStudies(store_, session); });
  }
  std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) override {
    return Guarded([&] { return sqlite::ContextPairs(store_, study, limit); });
  }
  LeaseId LastLeaseId() override {
    return Guarded([&] { return sqlite::LastLeaseId(store_); });
  }
  std::optional<LeaseRecord> FindLease(LeaseId lease) override {
    return Guarded([&] { return sqlite::FindLease(store_, lease); });
  }
  wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) override {
    return Guarded([&] { return sqlite::LoadPage(store_, study, lease, from_index, limit); });
  }
  std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) override {
    return Guarded([&] { return sqlite::LoadInstances(store_, study, indices); });
  }
  std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                       const InstanceCursor& after, std::size_t limit) override {
    return Guarded([&] { return sqlite::Report(store_, session, states, after, limit); });
  }
  FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) override {
    return Guarded([&] { return sqlite::CountFailureReasons(store_, session, limit); });
  }
  WorkerCount Workers(SessionKey session) override {
    return Guarded([&] { return sqlite::Workers(store_, session); });
  }
  std::vector<PairCount> PairCounts(SessionKey session) override {
    return Guarded([&] { return sqlite::PairCounts(store_, session); });
  }
  SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) override {
    return Guarded([&] { return sqlite::CreateSession(store_, settings, now); });
  }
  void SetSettings(SessionKey session, const wire::OpenSession& settings) override {
    Guarded([&] { sqlite::SetSettings(store_, session, settings); });
  }
  bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) override {
    return Guarded([&] { return sqlite::BeginScan(store_, session, indexer, scan); });
  }
  void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                    const std::map<std::string, std::uint64_t>& ignored) override {
    Guarded([&] { sqlite::CompleteScan(store_, session, indexer, scan, ignored); });
  }
  void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) override {
    Guarded([&] { sqlite::AddUnread(store_, session, indexer, paths); });
  }
  void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                       WallTime now) override {
    Guarded([&] { sqlite::SetSessionState(store_, session, state, end_reason, now); });
  }
  void BeginRun(SessionKey session, WallTime now) override {
    Guarded([&] { sqlite::BeginRun(store_, session, now); });
  }
  void SetEnding(SessionKey session, std::optional<wire::SessionState> state) override {
    Guarded([&] { sqlite::SetEnding(store_, session, state); });
  }
  std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) override {
    return Guarded([&] { return sqlite::Requeue(store_, session, filter); });
  }
  std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) override {
    return Guarded([&] { return sqlite::AddStudies(store_, session, batch); });
  }
  void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) override {
    Guarded([&] { sqlite::RecordComparisons(store_, session, comparisons); });
  }
  std::vector<PromotedCopy> PromoteCopies(StudyKey study) override {
    return Guarded([&] { return sqlite::PromoteCopies(store_, study); });
  }
  void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                  std::uint32_t worker_capacity, WallTime now) override {
    Guarded([&] { sqlite::GrantLease(store_, study, lease, worker, identity, worker_capacity, now); });
  }
  std::uint64_t EndLease(StudyKey study, bool clean) override {
    return Guarded([&] { return sqlite::EndLease(store_, study, clean); });
  }
  void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) override {
    Guarded([&] { sqlite::RecordReport(store_, lease, seq, associations); });
  }
  void SetPageEnd(StudyKey study, std::uint32_t page_end) override {
    Guarded([&] { sqlite::SetPageEnd(store_, study, page_end); });
  }
  void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) override {
    Guarded([&] { sqlite::ChangeInstances(store_, changes, now); });
  }
  std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) override {
    return Guarded([&] { return sqlite::FailStudy(store_, study, reason, now); });
  }

 private:
  // Converts every failure of the store to a LedgerError. After a failure, all functions throw.
  template <class Work>
  auto Guarded(Work work) -> decltype(work()) {
    if (broken_)
      throw LedgerError(fmt::format("ledger '{}': it failed before; start again to use it", store_.file()));
    try {
      return work();
    } catch (const SQLite::Exception& error) {
      broken_ = true;
      throw LedgerError(fmt::format("ledger '{}': {}", store_.file(), store_.db().Explain(error)));
    }
  }

  const LedgerLock lock_;  // must outlive the connection, see ledger_lock.h
  sqlite::Store store_;
  bool broken_ = false;
};

}  // namespace

tl::expected<std::unique_ptr<Ledger>, std::string> OpenSqliteLedger(const std::string& file) {
  const auto failed = [&file](std::string_view why) {
    return tl::unexpected(fmt::format("ledger '{}': {}", file, why));
  };
  auto lock = LedgerLock::Take(file);
  if (!lock) return failed(sqlite::WhyNotLocked(file, lock.error()));
  try {
    auto ledger = std::make_unique<SqliteLedger>(file, *std::move(lock));
    if (auto prepared = ledger->Prepare(); !prepared) return failed(prepared.error());
    return ledger;
  } catch (const SQLite::Exception&) {  // the file could not be opened at all
    return failed(sqlite::WhyNotOpened(file));
  }
}

}  // namespace dicom_sender
