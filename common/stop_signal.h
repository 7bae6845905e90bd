// Ctrl-C, SIGTERM, and SIGHUP: the first asks to stop in order, the second to stop at once. Of several SIGHUP
// only the first counts, and none where it was ignored at the start (nohup). SIGPIPE is ignored: sendfile() has no
// way to ask for EPIPE alone.
#pragma once

#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

#include "common/unique_fd.h"
#include "common/wake_event.h"

namespace dicom_sender {

// Make one at the start of main(), before any other thread: SIGINT, SIGTERM, and SIGHUP are blocked in the thread
// that makes it and in all that are started afterwards, so that no call of theirs is interrupted; a thread of its own
// receives them. Only one at a time (std::logic_error otherwise). The destructor puts everything back as it was.
// Thread-safe.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int count() const { return count_; }  // how many came so far
  // To poll: readable as soon as one came, until Clear(); Clear() before looking at count().
  int fd() const { return arrived_.fd(); }
  void Clear() { arrived_.Clear(); }
  // Callbacks of these run in the receiving thread: they must be short.
  std::stop_token stop_token() const { return stop_.get_token(); }    // from the first signal on
  std::stop_token abort_token() const { return abort_.get_token(); }  // from the second

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
