// What every implementation of the Ledger must guarantee. Each implementation instantiates this suite with its store.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// The place of a ledger. It outlives the ledgers that are opened on it one after another.
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

  // Simulates kill -9 and a restart.
  void Reopen() {
    ledger_.reset();
    ledger_ = store_->Open();
  }

  SessionKey CreateSession(const std::string& uuid = "session");
  SessionRecord Session() { return ledger_->LoadSession(session_); }
  // Publishes the files in one transaction.
  StudyFeed Feed(const std::string& study, const std::vector<File>& files);
  // Publishes `count` files named 0, 1, ... with different SOP Instance UIDs.
  StudyKey FeedStudy(const std::string& study, std::uint32_t count);
  void Change(const std::vector<InstanceChange>& changes);
  InstanceChange To(StudyKey study, std::uint32_t index, InstanceState state, std::uint32_t attempts = 1) const;
  LeaseId Grant(StudyKey study, const std::string& worker = "w");
  // Creates a session whose studies 1 and 2 have failures with two statuses, several reasons, and two workers.
  void FeedFailures();
  // Requeues the matching instances and returns their SOP Instance UIDs.
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
  // Compares the counts of studies and session with the instances. (Excludes associations and resends, and retries if
  // something was requeued.)
  void ExpectCountsAreThoseOfTheInstances(bool with_retries = true);

  std::unique_ptr<LedgerStore> store_;
  std::unique_ptr<Ledger> ledger_;
  SessionKey session_ = 0;
  LeaseId last_lease_ = 0;
  std::map<std::string, std::uint64_t> sizes_;  // of all published files, by root and path
};

inline constexpr std::uint32_t kStoreUs = 500;  // the duration of every C-STORE in these tests
inline constexpr const char* kIdentity = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";  // the identity of every worker
WallTime At(std::int64_t milliseconds);
wire::PublishBatch Batch(const std::string& study, const std::vector<File>& files);
// Does what the service does: reads each instance before it changes it.
void ReadAndChange(Ledger& ledger, std::vector<InstanceChange> changes, WallTime now);

}  // namespace dicom_sender
