// The latest instances that failed, for the status page. Bounded: the newest push the oldest out.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "coordinator/ledger/ledger.h"
#include "status.pb.h"

namespace dicom_sender {

class RecentFailures {
 public:
  static constexpr std::size_t kMax = 50;

  // Page() reads the rest from the ledger. `uuid`: of the session.
  void Add(SessionKey session, const std::string& uuid, const InstanceChange& change, WallTime now);
  // Files that fail by a defect that the scan found.
  void AddDefects(const wire::PublishBatch& batch, WallTime now);

  // The newest first. Reads at most kMax instances. Throws LedgerError.
  wire::FailuresPage Page(LedgerReader& ledger, WallTime now);

 private:
  struct Place {  // in the ledger
    SessionKey session = 0;
    StudyKey study = 0;
    std::uint32_t index = 0;
  };
  struct Entry {
    std::optional<Place> unread;
    wire::RecentFailure failure;
  };
  void Push(Entry entry);

  std::deque<Entry> entries_;  // the newest first
};

}  // namespace dicom_sender
