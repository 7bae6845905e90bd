// Simulates separate hosts: each worker has a network namespace with one link to the coordinator and another one to
// the destination, so that each link can be cut separately. Skipped without the permission to create namespaces.
#include <sched.h>

#include <cstring>

#include "tests/e2e/migration_fixture.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;

constexpr const char* kDestination = "10.0.0.1";  // the same from every host

bool Succeeds(const Words& command) {
  const ProcessResult result = RunProcess(command, kPatience);
  return result.end == ProcessEnd{0, 0};
}
void MustSucceed(const Words& command) {
  const ProcessResult result = RunProcess(command, kPatience);
  ASSERT_EQ(result.end, (ProcessEnd{0, 0})) << testing::PrintToString(command) << "\n" << result.errors;
}

// A network namespace that a process keeps alive. It has one link to the coordinator (NAMEc, here NAMEc0) and one to
// the destination (NAMEd, here NAMEd0).
class Host {
 public:
  Host(std::string name, int number)
      : name_(std::move(name)),
        subnet_("10." + std::to_string(number)),
        keeper_({"unshare", "--net", "sleep", "infinity"}) {}

  void Connect() {
    const auto ours = std::filesystem::read_symlink("/proc/thread-self/ns/net");
    const std::string theirs = "/proc/" + std::to_string(keeper_.id()) + "/ns/net";
    ASSERT_TRUE(Eventually([&] { return std::filesystem::read_symlink(theirs) != ours; }));
    ASSERT_NO_FATAL_FAILURE(Lay(name_ + "c", subnet_ + ".1"));
    ASSERT_NO_FATAL_FAILURE(Lay(name_ + "d", subnet_ + ".2"));
    MustSucceed(Here({"ip", "route", "add", kDestination, "via", subnet_ + ".2.1"}));
  }
  std::string Coordinator() const { return subnet_ + ".1.1"; }  // the coordinator's address as seen from this host
  // Prefixes the command so that it runs on this host.
  Words Here(const Words& command) const {
    Words words = {"nsenter", "--target", std::to_string(keeper_.id()), "--net"};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }
  void CutFromCoordinator() { MustSucceed({"ip", "link", "set", name_ + "c0", "down"}); }

 private:
  void Lay(const std::string& cable, const std::string& subnet) {
    const std::string here = cable + "0", keeper = std::to_string(keeper_.id());
    MustSucceed({"ip", "link", "add", here, "type", "veth", "peer", "name", cable, "netns", keeper});
    MustSucceed({"ip", "addr", "add", subnet + ".1/24", "dev", here});
    MustSucceed({"ip", "link", "set", here, "up"});
    MustSucceed(Here({"ip", "addr", "add", subnet + ".2/24", "dev", cable}));
    MustSucceed(Here({"ip", "link", "set", cable, "up"}));
  }

  const std::string name_, subnet_;
  ChildProcess keeper_;
};

class DistributedHostsTest : public MigrationTest {
 protected:
  DistributedHostsTest() : MigrationTest({.all_addresses = true}) {}

  // This thread, and everything that it starts afterwards, moves to a separate network, which ends with it.
  void SetUp() override {
    for (const char* program : {"ip", "nsenter", "unshare"}) {
      if (!Succeeds({program, "-V"})) GTEST_SKIP() << program << " is not installed";
    }
    if (unshare(CLONE_NEWNET) != 0)
      GTEST_SKIP() << "no permission to create a network namespace: " << std::strerror(errno);
    if (!Succeeds({"unshare", "--net", "true"})) GTEST_SKIP() << "no permission to create a network namespace";
    MustSucceed({"ip", "link", "set", "lo", "up"});
    MustSucceed({"ip", "addr", "add", kDestination, "dev", "lo"});
  }

  Program& StartWorkerOn(const Host& host, const std::string& name) {
    const std::string coordinator = "tcp://" + host.Coordinator() + ":" + std::to_string(coordinator_port_.number());
    Program& worker =
        Add("worker " + name, host.Here({WORKER_PROGRAM, "--worker-id", name, "--coordinator", coordinator}));
    worker.Start();
    return worker;
  }
};

TEST_F(DistributedHostsTest, AWorkerWithoutACoordinatorStopsBeforeAnotherBegins) {
  Host first("h1", 1), second("h2", 2);
  ASSERT_NO_FATAL_FAILURE(first.Connect());
  ASSERT_NO_FATAL_FAILURE(second.Connect());
  // The number of instances as given, slow enough to take longer than the lease time.
  const auto instances = WriteExampleStudies(data(), 1, 120);
  StartDestination({.rules = {InstanceRule{.delay = milliseconds(100)}}});
  StartCoordinator(
      {"--bind", "tcp://*:" + std::to_string(coordinator_port_.number()), "--insecure", "--lease-ttl", "10"});
  Program& cut_off = StartWorkerOn(first, "w1");
  const std::string session = Feed({}, kDestination);
  ASSERT_TRUE(WaitUntilStored(1));
  first.CutFromCoordinator();
  const std::uint64_t stored = Stored(destination_.Log());
  StartWorkerOn(second, "w2");
  ASSERT_TRUE(WaitUntilStored(stored + 10)) << "the way to the destination is open";
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.associations.size() == 2; }, kPatience));
  EXPECT_TRUE(cut_off.WaitForText("is lost: its study stops")) << cut_off.Errors();
  destination_.SetBehaviour({});
  const auto summary = SummaryAtEnd(session);
  EXPECT_GE(Number(summary, "resends"), 10U) << "the coordinator did not know what it had sent";
  ExpectAllStored(session, instances);

  const DestinationLog log = destination_.Log();
  ASSERT_EQ(log.associations.size(), 2U);
  EXPECT_EQ(log.associations[0].end, AssociationEnd::kReleased) << ToString(log.associations[0].end);
  for (const auto& instance : log.instances) {
    EXPECT_TRUE(instance.association == 2 || instance.received < log.associations[1].started);
  }
}

// The archive knows the address of only one worker and rejects the other one permanently.
TEST_F(DistributedHostsTest, AWorkerThatTheArchiveRejectsIsQuarantinedAndNoInstanceFails) {
  Host known("h1", 1), stranger("h2", 2);
  ASSERT_NO_FATAL_FAILURE(known.Connect());
  ASSERT_NO_FATAL_FAILURE(stranger.Connect());
  const auto instances = WriteExampleStudies(data(), 60, 4);
  DestinationBehaviour behaviour;
  behaviour.rules = {InstanceRule{.delay = milliseconds(20)}};
  behaviour.reject_some = [](const AssociationRecord& requested) -> std::optional<Rejection> {
    if (requested.address.starts_with("10.1.")) return std::nullopt;
    return Rejection{1, 1, 3};  // calling AE title not recognized
  };
  StartDestination(behaviour);
  StartCoordinator({"--bind", "tcp://*:" + std::to_string(coordinator_port_.number()), "--insecure"});
  StartWorkerOn(known, "known");
  StartWorkerOn(stranger, "stranger");
  const std::string session = Feed({"--retry-for", "1h"}, kDestination);
  EXPECT_TRUE(Eventually([this] { return Ctl({"workers"}).output.find("quarantined") != std::string::npos; }));
  ExpectAllStored(session, instances);
  EXPECT_EQ(Number(SummaryAtEnd(session), "failed_transfers"), 0U);
  EXPECT_THAT(coordinator_->AllErrors(), testing::HasSubstr("Worker stranger is quarantined for destination"));
}

}  // namespace
}  // namespace dicom_sender
