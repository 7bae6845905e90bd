// The sending threads. Each sends one study at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "common/time.h"
#include "common/wake_event.h"
#include "worker/association/window_memory.h"
#include "worker/loop/ignored_log.h"
#include "worker/loop/study_link.h"
#include "worker/sending/study_sender.h"

namespace dicom_sender {

class SendingThreads {
 public:
  SendingThreads(unsigned count, WorkerMetrics& metrics, SendingObserver& observer);

  // The agent's capacity ensures that no more studies are started than there are threads.
  void Start(std::shared_ptr<StudyLink> study);
  // Ends every wait for the network, now and later.
  void Cancel();
  // Grows with all progress under the lease: bytes, responses, and bounded waits for them. 0 if no thread sends under
  // it.
  std::uint64_t Progress(std::uint64_t lease) const;
  // The start of the oldest pending association request, as in WorkerHealth.
  Duration::rep UnansweredSince() const;

 private:
  struct Sender {
    WakeEvent cancel;
    std::atomic<std::uint64_t> lease = 0;
    SendingProgress progress;
    std::atomic<std::uint64_t> outcomes = 0;
    std::atomic<Duration::rep> requested = 0;  // the start of the pending association request; 0 if none is pending
  };
  class CountingObserver;

  void Run(unsigned number, const std::stop_token& stop);
  tl::expected<std::unique_ptr<Association>, AssociationFailure> Associate(Sender& sender,
                                                                           const AssociationRequest& request);
  std::shared_ptr<StudyLink> WaitForStudy(const std::stop_token& stop);  // null after a stop request

  WorkerMetrics& metrics_;
  SendingObserver& observer_;
  WindowMemory windows_;
  IgnoredLog ignored_log_;
  std::vector<Sender> senders_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::shared_ptr<StudyLink>> waiting_;
  std::vector<std::jthread> threads_;  // must be last: they end before the members that they use
};

}  // namespace dicom_sender
