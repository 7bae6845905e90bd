// The latest failed instances, for the status page. Keeps at most kMax and drops the oldest.
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

  // Stores only where the failure is in the ledger; Page() reads the details. `uuid`: the session's UUID.
  void Add(SessionKey session, const std::string& uuid, const InstanceChange& change, WallTime now);
  // Adds the files that failed because of a defect that the scan found.
  void AddDefects(const wire::PublishBatch& batch, WallTime now);

  // Returns the newest failure first. Reads at most kMax instances. Throws LedgerError.
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

  std::deque<Entry> entries_;  // newest first
};

}  // namespace dicom_sender
