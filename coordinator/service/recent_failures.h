// The latest instances that failed, for whoever looks at the status page. Bounded: the newest push the oldest out.
#pragma once

#include <deque>
#include <optional>

#include "coordinator/ledger/ledger.h"
#include "status.pb.h"

namespace dicom_sender {

class RecentFailures {
 public:
  static constexpr std::size_t kMax = 50;

  // The rest is in the ledger, and read when somebody looks.
  void Add(SessionKey session, const InstanceChange& change, WallTime now);
  // Those that fail because of what the scan found out.
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
