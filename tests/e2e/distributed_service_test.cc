// Coordinator and worker as services: what they send to a service manager, which is a socket of the test here.
#include "tests/e2e/migration_fixture.h"
#include "tests/support/notify_socket.h"

namespace dicom_sender {
namespace {

class DistributedServiceTest : public MigrationTest {
 protected:
  // Runs the program as a child of systemd would run: `exec` keeps the process id, which WATCHDOG_PID must name.
  Words AsService(const Words& command) const {
    Words words = {"sh", "-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }
  Words Surroundings() const { return {"NOTIFY_SOCKET=" + socket_.path(), "WATCHDOG_USEC=200000"}; }

  void ExpectAService(const Words& command, const std::string& ready) {
    ChildProcess service(AsService(command), Surroundings());
    ASSERT_TRUE(socket_.WaitFor(ready, kPatience)) << service.Errors();
    for (int i = 0; i < 3; ++i) ASSERT_EQ(socket_.Receive(kPatience), "WATCHDOG=1") << service.Errors();
    service.Signal(SIGTERM);
    EXPECT_TRUE(socket_.WaitFor("STOPPING=1", kPatience)) << service.Errors();
    EXPECT_EQ(EndOf(service), (ProcessEnd{0, 0})) << service.Errors();
  }
  std::optional<ProcessEnd> EndOf(ChildProcess& service) {
    EXPECT_TRUE(Eventually([&] {
      socket_.Drain();  // the program blocks if nobody reads its notifications
      return service.Wait(std::chrono::milliseconds(0)).has_value();
    }));
    return service.Wait(std::chrono::milliseconds(0));
  }
  NotifySocket socket_;
};

TEST_F(DistributedServiceTest, TheCoordinatorNotifiesTheServiceManager) {
  ExpectAService({COORDINATOR_PROGRAM, "--ledger", ledger(), "--bind", endpoint(), "--output-dir", out()},
                 "READY=1\nSTATUS=listening on " + endpoint());
}

TEST_F(DistributedServiceTest, TheWorkerNotifiesTheServiceManager) {
  ExpectAService({WORKER_PROGRAM, "--worker-id", "w1", "--coordinator", endpoint()},
                 "READY=1\nSTATUS=worker w1 of " + endpoint());
}

TEST_F(DistributedServiceTest, ADrainingWorkerReportsItAtOnceAndStaysHealthy) {
  WriteExampleStudies(data(), 1, 1);
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::seconds(3)}}});
  StartCoordinator();
  ChildProcess worker(AsService({WORKER_PROGRAM, "--worker-id", "w1", "--coordinator", endpoint()}), Surroundings());
  Feed();
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return !log.associations.empty(); }, kPatience));
  worker.Signal(SIGTERM);
  ASSERT_TRUE(socket_.WaitFor("STOPPING=1", kPatience));
  EXPECT_TRUE(socket_.WaitFor("WATCHDOG=1", kPatience));
  EXPECT_FALSE(worker.Wait(std::chrono::milliseconds(0))) << "something is still in flight";
  EXPECT_EQ(EndOf(worker), (ProcessEnd{0, 0})) << worker.Errors();
}

}  // namespace
}  // namespace dicom_sender
