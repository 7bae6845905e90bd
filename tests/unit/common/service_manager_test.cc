#include "common/service_manager.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include "tests/support/notify_socket.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience(20);

class ServiceManagerTest : public testing::Test {
 protected:
  // Creates the logger before there are threads, as the programs do.
  static void SetUpTestSuite() { spdlog::default_logger(); }
  ServiceManagerTest() { setenv("NOTIFY_SOCKET", socket_.path().c_str(), 1); }
  ~ServiceManagerTest() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }

  static void SetWatchdog(std::chrono::microseconds interval, pid_t process = getpid()) {
    setenv("WATCHDOG_USEC", std::to_string(interval.count()).c_str(), 1);
    setenv("WATCHDOG_PID", std::to_string(process).c_str(), 1);
  }
  HttpCheck Health() {
    return [this]() -> std::optional<std::string> {
      ++asked_;
      if (well_) return std::nullopt;
      return "the loop hangs";
    };
  }
  // Waits until the health check was called this many more times.
  bool WaitForQuestions(int more) const {
    const int goal = asked_ + more;
    for (const TimePoint end = MonotonicNow() + kPatience; MonotonicNow() < end; std::this_thread::yield()) {
      if (asked_ >= goal) return true;
    }
    return false;
  }
  bool Nothing() const { return !socket_.Receive(milliseconds(0)); }  // no message is waiting

  NotifySocket socket_;
  std::stop_source stop_;
  std::atomic<bool> well_ = true;
  std::atomic<int> asked_ = 0;
};

TEST_F(ServiceManagerTest, ReportsReadyAndStopping) {
  {
    const ServiceManager manager(nullptr, stop_.get_token());
    manager.Ready("listening\nWATCHDOG=trigger");
    EXPECT_EQ(socket_.Receive(kPatience), "READY=1\nSTATUS=listening\\nWATCHDOG=trigger")
        << "one line, whatever it is";
    EXPECT_TRUE(Nothing());
  }
  EXPECT_EQ(socket_.Receive(kPatience), "STOPPING=1\nSTATUS=stopping");
}

TEST_F(ServiceManagerTest, ReportsStoppingOnce) {
  {
    const ServiceManager manager(nullptr, stop_.get_token());
    stop_.request_stop();
    EXPECT_EQ(socket_.Receive(kPatience), "STOPPING=1\nSTATUS=stopping");
  }
  EXPECT_TRUE(Nothing());
}

TEST_F(ServiceManagerTest, DoesNothingWithoutAServiceManager) {
  unsetenv("NOTIFY_SOCKET");
  SetWatchdog(milliseconds(2));
  const auto threads = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); };
  const auto before = threads();
  {
    const ServiceManager manager(Health(), stop_.get_token());
    manager.Ready("listening");
    EXPECT_EQ(threads(), before);
    stop_.request_stop();
  }
  EXPECT_TRUE(Nothing());
  EXPECT_EQ(asked_, 0);
}

TEST_F(ServiceManagerTest, PingsOnlyWhileHealthy) {
  SetWatchdog(milliseconds(20));
  const ServiceManager manager(Health(), stop_.get_token());
  for (int i = 0; i < 3; ++i) ASSERT_EQ(socket_.Receive(kPatience), "WATCHDOG=1");

  well_ = false;
  ASSERT_TRUE(WaitForQuestions(2));  // the first check may have run before the change
  socket_.Drain();
  ASSERT_TRUE(WaitForQuestions(3));
  EXPECT_TRUE(Nothing());

  well_ = true;
  EXPECT_EQ(socket_.Receive(kPatience), "WATCHDOG=1");
}

TEST_F(ServiceManagerTest, PingsTwicePerWatchdogInterval) {
  SetWatchdog(std::chrono::seconds(2));
  const ServiceManager manager(Health(), stop_.get_token());
  ASSERT_EQ(socket_.Receive(kPatience), "WATCHDOG=1");
  const TimePoint first = MonotonicNow();
  ASSERT_EQ(socket_.Receive(kPatience), "WATCHDOG=1");
  const Duration between = MonotonicNow() - first;
  EXPECT_GT(between, milliseconds(900));
  EXPECT_LT(between, milliseconds(1900));
}

TEST_F(ServiceManagerTest, PingsAlsoWhileTheProgramStops) {
  SetWatchdog(milliseconds(20));
  const ServiceManager manager(Health(), stop_.get_token());
  stop_.request_stop();
  ASSERT_TRUE(socket_.WaitFor("STOPPING=1", kPatience));
  EXPECT_EQ(socket_.Receive(kPatience), "WATCHDOG=1");
}

TEST_F(ServiceManagerTest, DoesNotPingForAnotherProcess) {
  SetWatchdog(std::chrono::microseconds(2), getppid());
  {
    const ServiceManager manager(Health(), stop_.get_token());
    manager.Ready("");
    stop_.request_stop();
    EXPECT_EQ(socket_.Receive(kPatience), "READY=1\nSTATUS=");
    EXPECT_EQ(socket_.Receive(kPatience), "STOPPING=1\nSTATUS=stopping");
  }
  EXPECT_EQ(asked_, 0);
}

TEST_F(ServiceManagerTest, AnUnreachableManagerIsIgnored) {
  setenv("NOTIFY_SOCKET", "/nowhere/notify", 1);
  SetWatchdog(milliseconds(2));
  const ServiceManager manager(Health(), stop_.get_token());
  manager.Ready("listening");
  EXPECT_TRUE(WaitForQuestions(2));
}

}  // namespace
}  // namespace dicom_sender
