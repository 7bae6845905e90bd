// The studies of one destination that may be leased, in the order in which they should be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// Largest first, because the longest job must not start last. But a study whose association the destination did not
// take comes behind those that it may take, so that one study cannot use up the patience that is there for all.
struct ReadyStudy {
  std::uint32_t setbacks = 0;
  std::uint64_t bytes = 0;
  StudyKey study = 0;
  friend bool operator<(const ReadyStudy& a, const ReadyStudy& b) {
    if (a.setbacks != b.setbacks) return a.setbacks < b.setbacks;
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.study < b.study;
  }
};

// Studies that the same workers may send. Looking at the first study of each group is enough to find the next one.
struct ReadyGroup {
  SessionKey session = 0;
  std::set<std::string> unreadable_by;
  friend bool operator<(const ReadyGroup& a, const ReadyGroup& b) {
    return std::tie(a.session, a.unreadable_by) < std::tie(b.session, b.unreadable_by);
  }
};

class ReadyQueue {
 public:
  void Insert(const ReadyGroup& group, const ReadyStudy& study) { groups_[group].insert(study); }
  // The study must be in the group.
  void Erase(const ReadyGroup& group, const ReadyStudy& study);
  bool Contains(const ReadyGroup& group, const ReadyStudy& study) const;
  std::size_t size() const;  // studies
  // No group is empty.
  const std::map<ReadyGroup, std::set<ReadyStudy>>& groups() const { return groups_; }

 private:
  std::map<ReadyGroup, std::set<ReadyStudy>> groups_;
};

}  // namespace dicom_sender
