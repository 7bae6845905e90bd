#include "common/stop_signal.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <stdexcept>

#include "common/time.h"

namespace dicom_sender {
namespace {

bool Readable(int fd, int timeout_ms) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

bool WaitForCount(const StopSignals& signals, int count) {
  for (const TimePoint end = MonotonicNow() + std::chrono::seconds(20); MonotonicNow() < end;
       std::this_thread::yield()) {
    if (signals.count() >= count) return true;
  }
  return false;
}

TEST(StopSignals, NotStoppedInitially) {
  StopSignals signals;
  EXPECT_EQ(signals.count(), 0);
  EXPECT_FALSE(Readable(signals.fd(), 0));
  EXPECT_FALSE(signals.stop_token().stop_requested());
}

TEST(StopSignals, TheFirstSignalStopsAndTheSecondAborts) {
  StopSignals signals;
  std::atomic<bool> stopped = false, aborted = false;
  std::stop_callback on_stop(signals.stop_token(), [&] { stopped = true; });
  std::stop_callback on_abort(signals.abort_token(), [&] { aborted = true; });

  ASSERT_EQ(kill(getpid(), SIGINT), 0);
  EXPECT_TRUE(Readable(signals.fd(), 20'000));
  ASSERT_TRUE(WaitForCount(signals, 1));
  signals.Clear();
  EXPECT_FALSE(Readable(signals.fd(), 0));

  ASSERT_EQ(kill(getpid(), SIGTERM), 0);
  EXPECT_TRUE(Readable(signals.fd(), 20'000));
  EXPECT_TRUE(stopped) << "before the second one was received";
  ASSERT_TRUE(WaitForCount(signals, 2));
  ASSERT_EQ(kill(getpid(), SIGINT), 0);
  ASSERT_TRUE(WaitForCount(signals, 3));
  EXPECT_TRUE(aborted);
}

TEST(StopSignals, AClosedTerminalStopsAndDoesNotAbort) {
  StopSignals signals;
  ASSERT_EQ(kill(getpid(), SIGHUP), 0);
  ASSERT_TRUE(WaitForCount(signals, 1));
  ASSERT_EQ(kill(getpid(), SIGHUP), 0);
  ASSERT_EQ(kill(getpid(), SIGTERM), 0);
  ASSERT_TRUE(WaitForCount(signals, 2));
  ASSERT_EQ(kill(getpid(), SIGINT), 0);
  ASSERT_TRUE(WaitForCount(signals, 3)) << "the second SIGHUP would be the fourth";
  EXPECT_EQ(signals.count(), 3);
}

TEST(StopSignals, AnIgnoredHangUpStaysIgnored) {
  struct sigaction ignore = {}, old = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGHUP, &ignore, &old);
  {
    StopSignals signals;
    ASSERT_EQ(kill(getpid(), SIGHUP), 0);
    ASSERT_EQ(kill(getpid(), SIGTERM), 0);
    ASSERT_TRUE(WaitForCount(signals, 1));
    EXPECT_FALSE(signals.abort_token().stop_requested());
    EXPECT_EQ(signals.count(), 1);
  }
  sigaction(SIGHUP, &old, nullptr);
}

TEST(StopSignals, TheFirstSignalDoesNotAbort) {
  StopSignals signals;
  ASSERT_EQ(kill(getpid(), SIGTERM), 0);
  ASSERT_TRUE(Readable(signals.fd(), 20'000));
  EXPECT_EQ(signals.count(), 1);
  EXPECT_FALSE(signals.abort_token().stop_requested());
}

TEST(StopSignals, OtherThreadsAreNotInterrupted) {
  StopSignals signals;
  std::array<int, 2> pipe_fds{};
  ASSERT_EQ(pipe(pipe_fds.data()), 0);
  int polled = -2;
  std::atomic<pid_t> ready = 0;
  std::thread waiting([&] {
    ready = 1;
    pollfd fd = {pipe_fds[0], POLLIN, 0};
    polled = poll(&fd, 1, 20'000);  // never restarted after a signal handler: EINTR if there were one
  });
  while (ready == 0) std::this_thread::yield();
  for (int i = 1; i <= 100; ++i) {
    ASSERT_EQ(kill(getpid(), SIGINT), 0);
    ASSERT_TRUE(WaitForCount(signals, i));
  }
  ASSERT_EQ(write(pipe_fds[1], "x", 1), 1);
  waiting.join();
  EXPECT_EQ(polled, 1);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

TEST(StopSignals, AWriteToAClosedConnectionIsAnErrorOnly) {
  StopSignals signals;
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  close(ends[1]);
  EXPECT_EQ(write(ends[0], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  close(ends[0]);
}

TEST(StopSignals, OnlyOneInstanceCanExist) {
  {
    StopSignals signals;
    EXPECT_THROW(StopSignals(), std::logic_error);
  }
  StopSignals again;
  EXPECT_EQ(again.count(), 0);
}

TEST(StopSignalsDeathTest, RestoresTheSignalHandlers) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        { StopSignals signals; }
        raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace dicom_sender
