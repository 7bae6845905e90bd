#include "worker/loop/sending_threads.h"

#include <fmt/format.h>

#include <utility>

#include "dicom/network/tcp_association.h"
#include "proto/words.h"

namespace dicom_sender {

// Counts outcomes on their way to the observer.
class SendingThreads::CountingObserver : public SendingObserver {
 public:
  CountingObserver(SendingObserver& next, std::atomic<std::uint64_t>& outcomes) : next_(next), outcomes_(outcomes) {}
  void OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) override {
    ++outcomes_;
    next_.OnOutcome(thread, instance, outcome);
  }

 private:
  SendingObserver& next_;
  std::atomic<std::uint64_t>& outcomes_;
};

SendingThreads::SendingThreads(unsigned count, WorkerMetrics& metrics, SendingObserver& observer)
    : metrics_(metrics), observer_(observer), senders_(count) {
  for (unsigned i = 0; i < count; ++i) {
    threads_.emplace_back([this, i](std::stop_token stop) { Run(i, stop); });
  }
}

void SendingThreads::Start(std::shared_ptr<StudyLink> study) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(study));
  changed_.notify_one();
}

void SendingThreads::Cancel() {
  for (Sender& sender : senders_) sender.cancel.Raise();
}

std::uint64_t SendingThreads::Progress(std::uint64_t lease) const {
  for (const Sender& sender : senders_) {
    if (sender.lease == lease) return sender.progress.bytes_sent + sender.progress.waits + sender.outcomes;
  }
  return 0;
}

Duration::rep SendingThreads::UnansweredSince() const {
  Duration::rep oldest = 0;
  for (const Sender& sender : senders_) {
    const Duration::rep requested = sender.requested;
    if (requested != 0 && (oldest == 0 || requested < oldest)) oldest = requested;
  }
  return oldest;
}

void SendingThreads::Run(unsigned number, const std::stop_token& stop) {
  Sender& sender = senders_[number];
  CountingObserver observer(observer_, sender.outcomes);
  const SendingContext context{
      .thread = number,
      .associate = [this, &sender](const AssociationRequest& request) { return Associate(sender, request); },
      .progress = sender.progress,
      .windows = windows_,
      .metrics = metrics_,
      .observer = observer};
  while (auto study = WaitForStudy(stop)) {
    sender.lease = study->grant().lease_id();
    study->Finished(SendStudy(study->grant(), *study, context));
    sender.lease = 0;
  }
}

tl::expected<std::unique_ptr<Association>, AssociationFailure> SendingThreads::Associate(
    Sender& sender, const AssociationRequest& request) {
  const auto log_ignored = [this, destination = DestinationText(request.called_ae, request.port, request.host)](
                               const std::string& remark) { ignored_log_.Note(destination, remark); };
  sender.requested = MonotonicNow().time_since_epoch().count();
  auto association = RequestAssociation(request, sender.progress, &sender.cancel, log_ignored);
  sender.requested = 0;
  return association;
}

std::shared_ptr<StudyLink> SendingThreads::WaitForStudy(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
  if (stop.stop_requested()) return nullptr;
  auto study = std::move(waiting_.front());
  waiting_.pop_front();
  return study;
}

}  // namespace dicom_sender
