// Handles SIGINT (Ctrl-C), SIGTERM, and SIGHUP: the first signal requests an orderly stop, the second an immediate
// one. Only the first SIGHUP counts, and none if it was ignored at the start (nohup). SIGPIPE is ignored, because
// sendfile() has no flag to get EPIPE without the signal.
#pragma once

#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

#include "common/unique_fd.h"
#include "common/wake_event.h"

namespace dicom_sender {

// Create one at the start of main(), before any other thread. SIGINT, SIGTERM, and SIGHUP are blocked in the thread
// that creates it and in all threads started afterwards, so that their system calls are not interrupted; a separate
// thread receives the signals. A second object throws std::logic_error. The destructor restores the previous state.
// Thread-safe.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int count() const { return count_; }  // signals received so far
  // For poll(): readable from the next signal until Clear(). Call Clear() before reading count().
  int fd() const { return arrived_.fd(); }
  void Clear() { arrived_.Clear(); }
  // Callbacks on these run in the receiving thread, so they must be short.
  std::stop_token stop_token() const { return stop_.get_token(); }    // requested by the first signal
  std::stop_token abort_token() const { return abort_.get_token(); }  // requested by the second

 private:
  void Receive();

  sigset_t old_mask_{};
  struct sigaction old_pipe_action_ = {};
  UniqueFd signals_;
  WakeEvent arrived_;
  WakeEvent quit_;
  std::atomic<int> count_ = 0;
  std::stop_source stop_;
  std::stop_source abort_;
  std::thread receiver_;
};

}  // namespace dicom_sender
