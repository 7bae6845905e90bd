#include "coordinator/scheduler/ready_queue.h"

namespace dicom_sender {

void ReadyQueue::Erase(const ReadyGroup& group, const ReadyStudy& study) {
  const auto studies = groups_.find(group);
  studies->second.erase(study);
  if (studies->second.empty()) groups_.erase(studies);
}

bool ReadyQueue::Contains(const ReadyGroup& group, const ReadyStudy& study) const {
  const auto studies = groups_.find(group);
  return studies != groups_.end() && studies->second.contains(study);
}

std::size_t ReadyQueue::size() const {
  std::size_t studies = 0;
  for (const auto& [group, of_group] : groups_) studies += of_group.size();
  return studies;
}

}  // namespace dicom_sender
