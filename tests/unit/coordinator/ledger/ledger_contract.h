// What every implementation of the Ledger must hold: a suite that each of them instantiates with its own store.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// Where a ledger is kept: it outlives the ledgers that are opened on it, one at a time.
class LedgerStore {
 public:
  virtual ~LedgerStore() = default;
  virtual std::unique_ptr<Ledger> Open() = 0;
};
using MakeLedgerStore = std::function<std::unique_ptr<LedgerStore>()>;

struct File {
  std::string path;
  std::string sop_instance_uid;  // empty: none
  std::uint64_t size_bytes = 1000;
  std::string defect = {};
  std::string root = "/data";
  std::string sop_class_uid = "1.2.840.10008.5.1.4.1.1.2";
};

class LedgerContract : public testing::TestWithParam<MakeLedgerStore> {
 protected:
  LedgerContract() : store_(GetParam()()), ledger_(store_->Open()) {}

  // As by kill -9 and a new start.
  void Reopen() {
    ledger_.reset();
    ledger_ = store_->Open();
  }

  SessionKey CreateSession(const std::string& uuid = "session");
  SessionRecord Session() { return ledger_->LoadSession(session_); }
  // In one transaction.
  StudyFeed Feed(const std::string& study, const std::vector<File>& files);
  // `count` files named 0, 1, ... with a SOP Instance UID of their own.
  StudyKey FeedStudy(const std::string& study, std::uint32_t count);
  void Change(const std::vector<InstanceChange>& changes);
  InstanceChange To(StudyKey study, std::uint32_t index, InstanceState state, std::uint32_t attempts = 1) const;
  LeaseId Grant(StudyKey study, const std::string& worker = "w");
  // A session whose studies 1 and 2 have failures of two statuses, several reasons and two workers.
  void FeedFailures();
  // The SOP Instance UIDs of what this makes pending again.
  std::vector<std::string> Requeued(const RequeueFilter& filter);
  using Ignored = std::map<std::string, std::uint64_t>;
  bool BeginScan(const std::string& indexer, std::uint64_t scan) {
    bool begun = false;
    InTransaction([&] { begun = ledger_->BeginScan(session_, indexer, scan); });
    return begun;
  }
  void CompleteScan(const std::string& indexer, std::uint64_t scan, const Ignored& ignored) {
    InTransaction([&] { ledger_->CompleteScan(session_, indexer, scan, ignored); });
  }
  void Scan(const std::string& indexer, std::uint64_t scan, const Ignored& ignored) {
    BeginScan(indexer, scan);
    CompleteScan(indexer, scan, ignored);
  }
  template <class Work>
  void InTransaction(Work work) {
    ledger_->Begin();
    work();
    ledger_->Commit();
  }

  std::vector<ReportedInstance> Reported(const std::vector<InstanceState>& states, SessionKey session = 0);
  std::vector<InstanceFacts> Facts(StudyKey study, const std::vector<std::uint32_t>& indices) {
    return ledger_->LoadInstances(study, indices);
  }
  // Counts of study and session are what counting the instances gives. (All but associations and resends;
  // retries only if nothing was requeued.)
  void ExpectCountsAreThoseOfTheInstances(bool with_retries = true);

  std::unique_ptr<LedgerStore> store_;
  std::unique_ptr<Ledger> ledger_;
  SessionKey session_ = 0;
  LeaseId last_lease_ = 0;
  std::map<std::string, std::uint64_t> sizes_;  // of all files fed, by root and path
};

inline constexpr std::uint32_t kStoreUs = 500;  // duration of every C-STORE in these tests
inline constexpr const char* kIdentity = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";  // of every worker
WallTime At(std::int64_t milliseconds);
wire::PublishBatch Batch(const std::string& study, const std::vector<File>& files);
// As the service does it: what each instance changes from is read first.
void ReadAndChange(Ledger& ledger, std::vector<InstanceChange> changes, WallTime now);

}  // namespace dicom_sender
