// Two coordinators on one PostgreSQL ledger during a migration. The leader is killed, stopped and continued, cut off
// from the database, and asked to stop, and the database is restarted. Each time, the standby takes over in time. All
// instances arrive, the ledger contains nothing false, and resends are counted.
#include <algorithm>
#include <array>
#include <iostream>
#include <map>
#include <sstream>

#include "proto/validate.h"
#include "tests/e2e/migration_fixture.h"
#include "tests/support/connection_cutter.h"
#include "tests/support/postgresql_server.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;
using Passage = ConnectionCutter::Passage;
using StopMode = PostgresqlServer::StopMode;

constexpr int kStudies = 60, kInstances = 40, kWorkers = 3;
constexpr milliseconds kLeaderTimeout(1000), kFailOverMost(3 * kLeaderTimeout), kHandOverMost(1000);
constexpr milliseconds kAnswerDelay(200);  // long enough that the migration outlasts all faults

constexpr milliseconds kAskFor(100);  // then the request is repeated

// A coordinator with its own proxy to the database.
struct Member {
  explicit Member(std::uint16_t database_port) : cutter(database_port) {}
  std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(port.number()); }
  bool Leads(const std::string& readyz) const { return readyz.starts_with("leading, epoch "); }

  ReservedPort port, http;
  ConnectionCutter cutter;
  Program* program = nullptr;
};

class DistributedFailoverTest : public MigrationTest {
 protected:
  using Deed = void (DistributedFailoverTest::*)();

  void SetUp() override {
    if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
    server_ = std::make_unique<PostgresqlServer>();
    database_ = server_->CreateDatabase();
    for (auto& member : members_) {
      member = std::make_unique<Member>(server_->port());
      member->program = &Coordinator({"--ledger", server_->Uri(database_, member->cutter.port()), "--bind",
                                      member->endpoint(), "--leader-timeout", "1", "--lease-ttl", "20", "--metrics",
                                      "127.0.0.1:" + std::to_string(member->http.number())});
      member->program->Start();
    }
    ASSERT_TRUE(Eventually([this] { return WhoLeads() != nullptr; }));
  }

  void StartMigration() {
    instances_ = WriteExampleStudies(data(), kStudies, kInstances);
    StartDestination({.rules = {InstanceRule{.delay = kAnswerDelay}}});
    Program& indexer = Indexer(NewSession(Both({"--retry-for", "1h"})));
    indexer.Start();
    session_ = SessionOf(indexer);
    EXPECT_EQ(indexer.Wait(), 0) << indexer.Errors();
    for (int i = 0; i < kWorkers; ++i) {
      workers_.push_back(&StartWorker("w" + std::to_string(i), Both({"-t", "2"})));
    }
    ASSERT_TRUE(WaitUntilStored(1));
  }
  Words Both(Words words) const {
    words.insert(words.end(), {"--coordinator", members_[0]->endpoint() + "," + members_[1]->endpoint()});
    return words;
  }

  // --- leader and standby

  static std::string Ready(const Member& member) { return Get(member.http.number(), "/readyz"); }
  bool Leads(const Member& member) const { return member.Leads(Ready(member)); }
  Member* WhoLeads() const {
    const auto found = std::find_if(members_.begin(), members_.end(), [this](const auto& m) { return Leads(*m); });
    return found == members_.end() ? nullptr : found->get();
  }
  // Only the leader answers. It logs that it is the leader a moment before.
  static bool Answers(const Member& member) {
    zmq::context_t context;
    DealerChannel channel(context, {member.endpoint()});
    wire::ClientRequest request;
    request.set_request_id(1);
    request.mutable_list_sessions()->set_limit(1);
    if (!channel.WaitUntilConnected(kAskFor) || !channel.Send(Envelope(request))) return false;
    zmq::pollitem_t item{channel.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kAskFor);
    const auto bytes = channel.Receive();
    if (!bytes) return false;
    const auto envelope = ParseFromCoordinator(*bytes);
    return envelope && envelope->has_client();
  }
  bool AnyAnswers() const {
    return std::any_of(members_.begin(), members_.end(), [](const auto& member) { return Answers(*member); });
  }
  Member& Other(const Member& member) const {
    return member.port.number() == members_[0]->port.number() ? *members_[1] : *members_[0];
  }
  std::uint64_t Epoch() const { return std::stoull(server_->Query(database_, "SELECT epoch FROM leadership")); }

  // Returns the leader once the other coordinator is a standby and workers are connected to the leader.
  Member& AwaitQuiet() {
    Member* leader = nullptr;
    EXPECT_TRUE(Eventually([&] {
      leader = WhoLeads();
      return leader != nullptr && Ready(Other(*leader)).find(" is the leader, epoch ") != std::string::npos;
    }));
    const std::uint64_t stored = Stored(destination_.Log());
    EXPECT_TRUE(WaitUntilStored(stored + 5));
    return *leader;
  }
  void ExpectLeader(const Member& member, steady_clock::time_point since, milliseconds most, const char* what) {
    EXPECT_TRUE(Eventually([&] { return Answers(member); })) << what;
    Count(since, most, what);
    EXPECT_TRUE(Eventually([&] { return Leads(member); })) << what;
  }
  void Count(steady_clock::time_point since, milliseconds most, const char* what) {
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - since);
    EXPECT_LE(took, most) << what;
    longest_[what] = std::max(longest_[what], took);
    ++fail_overs_;
    ExpectNothingFalselyStored();
  }
  void ExpectNothingFalselyStored() {
    const auto by_ledger = LedgerSaysStored();
    const auto times = StoredTimes(destination_.Log());
    for (const std::string& uid : by_ledger) EXPECT_TRUE(times.contains(uid)) << uid;
  }
  std::set<std::string> LedgerSaysStored() const {
    std::istringstream lines(server_->Query(
        database_, "SELECT sop_instance_uid FROM instances WHERE state IN ('stored', 'stored_with_warning')"));
    std::set<std::string> stored;
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) stored.insert(line);
    }
    return stored;
  }
  std::set<std::string> StoredByLedger(const std::string&) override {
    for (auto& member : members_) EXPECT_EQ(member->program->Stop(), 0);
    return LedgerSaysStored();
  }

  // --- faults

  void KillLeader() {
    Member& leader = AwaitQuiet();
    const auto begin = steady_clock::now();
    leader.program->Kill();
    ExpectLeader(Other(leader), begin, kFailOverMost, "kill -9");
    leader.program->Start();
  }
  void StopAndContinueLeader() {
    Member& leader = AwaitQuiet();
    const auto begin = steady_clock::now();
    leader.program->Signal(SIGSTOP);
    ExpectLeader(Other(leader), begin, kFailOverMost, "SIGSTOP");
    // The old leader continues when the other coordinator has long taken over.
    Eventually([&] { return steady_clock::now() - begin > kFailOverMost + kLeaderTimeout / 4; });
    leader.program->Signal(SIGCONT);
    EXPECT_TRUE(Eventually([&] { return Ready(leader).starts_with("standby: "); }));
    EXPECT_THAT(leader.program->Errors(), HasSubstr("Stepped down, epoch "));
  }
  void CutOffLeader(Passage passage, const char* what) {
    Member& leader = AwaitQuiet();
    const auto begin = steady_clock::now();
    leader.cutter.Set(passage);
    ExpectLeader(Other(leader), begin, kFailOverMost, what);
    EXPECT_TRUE(Eventually([&] { return Ready(leader).find("the leader is unknown") != std::string::npos; }));
    leader.cutter.Set(Passage::kOpen);
  }
  void ResetLeader() { CutOffLeader(Passage::kRefused, "connections reset"); }
  void UnplugLeader() { CutOffLeader(Passage::kHeld, "cable pulled"); }
  void RestartDatabase(StopMode mode) {
    AwaitQuiet();
    const std::uint64_t epoch = Epoch();
    server_->Stop(mode);
    EXPECT_TRUE(Eventually([this] { return WhoLeads() == nullptr; }));
    server_->Start();
    const auto begin = steady_clock::now();
    EXPECT_TRUE(Eventually([&] { return AnyAnswers() && Epoch() > epoch; }));
    Count(begin, kFailOverMost, "database restarted");
  }
  void ShutDownDatabase() { RestartDatabase(StopMode::kFast); }
  void CrashDatabase() { RestartDatabase(StopMode::kImmediate); }
  void HandOver() {
    Member& leader = AwaitQuiet();
    const auto begin = steady_clock::now();
    leader.program->Signal(SIGTERM);
    ExpectLeader(Other(leader), begin, kHandOverMost, "SIGTERM");
    EXPECT_EQ(leader.program->Wait(), 0);
    leader.program->Start();
  }

  // Rare faults alternate with frequent ones, so that each of them follows each kind of failover.
  static std::vector<Deed> Deeds() {
    using Test = DistributedFailoverTest;
    return {&Test::KillLeader,  &Test::StopAndContinueLeader,
            &Test::HandOver,    &Test::ResetLeader,
            &Test::KillLeader,  &Test::UnplugLeader,
            &Test::HandOver,    &Test::ShutDownDatabase,
            &Test::KillLeader,  &Test::StopAndContinueLeader,
            &Test::HandOver,    &Test::KillLeader,
            &Test::ResetLeader, &Test::KillLeader,
            &Test::HandOver,    &Test::CrashDatabase,
            &Test::KillLeader,  &Test::StopAndContinueLeader,
            &Test::HandOver,    &Test::KillLeader};
  }

  std::unique_ptr<PostgresqlServer> server_;
  std::string database_;
  std::array<std::unique_ptr<Member>, 2> members_;
  std::vector<ExampleInstance> instances_;
  std::string session_;
  std::vector<Program*> workers_;
  int fail_overs_ = 0;
  std::map<std::string, milliseconds> longest_;
};

TEST_F(DistributedFailoverTest, EverythingArrivesAcrossFailovers) {
  ASSERT_NO_FATAL_FAILURE(StartMigration());
  for (const Deed deed : Deeds()) ASSERT_NO_FATAL_FAILURE((this->*deed)());
  EXPECT_GE(fail_overs_, 20);
  const std::size_t stored = StoredTimes(destination_.Log()).size();
  EXPECT_LT(stored, instances_.size()) << "the migration ended before the last failover";
  destination_.SetBehaviour({});
  const auto summary = SummaryAtEnd(session_);
  for (Program* worker : workers_) EXPECT_EQ(worker->Stop(), 0) << worker->name();
  const std::uint64_t again = ExpectAllStored(session_, instances_);
  std::cout << fail_overs_ << " fail-overs while " << stored << " instances were stored, " << again
            << " instances stored again, " << Number(summary, "resends") << " resends counted; the longest:";
  for (const auto& [what, took] : longest_) std::cout << " " << what << " " << took.count() << " ms;";
  std::cout << std::endl;
}

TEST_F(DistributedFailoverTest, AStandbyStopsOnSigterm) {
  Member* leader = WhoLeads();
  ASSERT_NE(leader, nullptr);
  Member& other = Other(*leader);
  ASSERT_TRUE(Eventually([&] { return Ready(other).starts_with("standby: "); }));
  EXPECT_EQ(other.program->Stop(), 0);
  EXPECT_TRUE(Leads(*leader));
  EXPECT_EQ(leader->program->Stop(), 0);
}

TEST_F(DistributedFailoverTest, AMissingDatabaseIsAnErrorAtStartup) {
  Program& coordinator = Coordinator({"--ledger", server_->Uri("nobodys"), "--lease-ttl", "60"});
  coordinator.Start();
  EXPECT_EQ(coordinator.Wait(), 2);
  EXPECT_THAT(coordinator.Errors(), HasSubstr("nobodys"));
}

}  // namespace
}  // namespace dicom_sender
