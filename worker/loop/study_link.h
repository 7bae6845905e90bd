// Connects the worker's loop with one of its sending threads: one object for each study that is being sent.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <variant>

#include "worker/sending/study_port.h"

namespace dicom_sender {

// Events from a sending thread to the loop, in order.
struct PageWanted {
  std::uint32_t from_index = 0;
};
struct AssociationCounted {};
struct StudyFinished {
  wire::GiveBack give_back;
};
struct SendingEvent {
  std::uint64_t lease = 0;
  std::variant<PageWanted, AssociationCounted, wire::Outcome, StudyFinished> what;
};

class StudyLink : public StudyPort {
 public:
  static constexpr std::size_t kBacklogMax = 512;  // outcomes that are not acknowledged

  // `post` hands an event to the loop; it may be called from any thread.
  StudyLink(wire::LeaseGrant grant, std::function<void(SendingEvent)> post)
      : grant_(std::move(grant)), post_(std::move(post)) {}

  const wire::LeaseGrant& grant() const { return grant_; }

  // --- the sending thread
  std::optional<wire::Page> FetchPage(std::uint32_t from_index) override;
  void Report(wire::Outcome outcome) override;
  void AssociationOpened() override { Post(AssociationCounted{}); }
  bool StopRequested() const override;
  void Finished(wire::GiveBack give_back) { Post(StudyFinished{std::move(give_back)}); }

  // --- the loop
  void Deliver(wire::Page page);
  void Stop();
  void CountRecorded() { ++recorded_; }
  void SetBacklog(std::size_t unacknowledged);  // of those recorded

 private:
  template <class What>
  void Post(What what) {
    post_({grant_.lease_id(), std::move(what)});
  }

  const wire::LeaseGrant grant_;
  const std::function<void(SendingEvent)> post_;
  std::size_t recorded_ = 0;  // used by the loop only

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<wire::Page> page_;
  bool stop_ = false;
  std::size_t reported_ = 0;
  std::size_t acknowledged_ = 0;
};

}  // namespace dicom_sender
