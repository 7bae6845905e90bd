#include "common/stop_signal.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <array>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace dicom_sender {
namespace {

std::atomic<bool> g_exists = false;

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  // Under nohup, SIGHUP is ignored and must stay ignored, but a blocked signal is queued even then.
  struct sigaction hangup = {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);
  return set;
}

UniqueFd OpenSignals() {
  const sigset_t set = StopSet();
  UniqueFd fd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.valid()) throw std::system_error(errno, std::generic_category(), "signalfd");
  return fd;
}

}  // namespace

StopSignals::StopSignals() : signals_(OpenSignals()) {
  if (g_exists.exchange(true)) throw std::logic_error("a StopSignals object already exists");
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_BLOCK, &set, &old_mask_);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old_pipe_action_);
  receiver_ = std::thread([this] { Receive(); });
}

StopSignals::~StopSignals() {
  quit_.Raise();
  receiver_.join();
  sigaction(SIGPIPE, &old_pipe_action_, nullptr);
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
  g_exists = false;
}

void StopSignals::Receive() {
  bool hung_up = false;
  while (!quit_.raised()) {
    std::array<pollfd, 2> fds = {{{signals_.get(), POLLIN, 0}, {quit_.fd(), POLLIN, 0}}};
    poll(fds.data(), fds.size(), -1);
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) == sizeof info) {
      // Closing a terminal may cause several: one from the kernel, one from the shell.
      const bool hangs_up = info.ssi_signo == SIGHUP;
      if (hangs_up && std::exchange(hung_up, true)) continue;
      ++count_;
      arrived_.Raise();
      if (count_ == 1) stop_.request_stop();
      if (count_ == 2) abort_.request_stop();
    }
  }
}

}  // namespace dicom_sender
