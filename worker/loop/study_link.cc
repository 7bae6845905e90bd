#include "worker/loop/study_link.h"

#include <utility>

namespace dicom_sender {

std::optional<wire::Page> StudyLink::FetchPage(std::uint32_t from_index) {
  Post(PageWanted{from_index});
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return page_ || stop_; });
  if (stop_) return std::nullopt;
  return std::exchange(page_, std::nullopt);
}

void StudyLink::Report(wire::Outcome outcome) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reported_ - acknowledged_ < kBacklogMax || stop_; });
    ++reported_;
  }
  Post(std::move(outcome));
}

bool StudyLink::StopRequested() const {
  const std::lock_guard lock(mutex_);
  return stop_;
}

void StudyLink::Deliver(wire::Page page) {
  const std::lock_guard lock(mutex_);
  page_ = std::move(page);
  changed_.notify_all();
}

void StudyLink::Stop() {
  const std::lock_guard lock(mutex_);
  stop_ = true;
  changed_.notify_all();
}

void StudyLink::SetBacklog(std::size_t unacknowledged) {
  const std::lock_guard lock(mutex_);
  acknowledged_ = recorded_ - unacknowledged;
  changed_.notify_all();
}

}  // namespace dicom_sender
