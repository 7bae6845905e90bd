// Kills every program of a migration repeatedly while it runs, pauses a worker until its leases expire, stops the
// destination, and blocks the coordinator's port for a while. Everything must arrive, and every resend must be
// counted and explained. DICOM_SENDER_TEST_SEED=N repeats the choices of a run, but not its timing.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>

#include "tests/e2e/migration_fixture.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kStudies = 60, kInstances = 25, kWorkers = 4;
constexpr std::uint64_t kThreads = 2;
constexpr int kWorkerKills = 30, kCoordinatorKills = 10, kIndexerKills = 10;
static_assert(kWorkerKills + kCoordinatorKills + kIndexerKills >= 50);
constexpr int kPauses = 2, kOutages = 2, kBlocks = 2;
constexpr milliseconds kPastTheLease(5500);  // the lease time is 5 s

std::uint64_t CountOf(const std::string& text, const std::string& what) {
  std::uint64_t count = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

class DistributedChaosTest : public MigrationTest {
 protected:
  using Deed = void (DistributedChaosTest::*)();

  void SetUp() override {
    const char* given = std::getenv("DICOM_SENDER_TEST_SEED");
    const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::cout << "DICOM_SENDER_TEST_SEED=" << seed << std::endl;
    random_.seed(seed);
  }

  int Draw(int least, int most) { return std::uniform_int_distribution<int>(least, most)(random_); }

  void StartAll() {
    instances_ = WriteExampleStudies(data(), kStudies, kInstances);
    const auto rest = folder_ / "rest";
    std::filesystem::create_directories(rest);
    for (int i = 1; i <= kStudies; i += 2) {
      const std::string name = "study_" + std::to_string(i);
      std::filesystem::rename(data() / name, rest / name);
    }
    StartDestination({.rules = {InstanceRule{.delay = milliseconds(60)}}});
    StartCoordinator();
    Program& indexer = Indexer(NewSession({"--retry-for", "1h"}));
    indexer.Start();
    session_ = SessionOf(indexer);
    indexers_ = {&Indexer({"-i", data(), "-r", "--session", session_}),
                 &Indexer({"-i", rest, "-r", "--session", session_})};
    RunIndexers();
    EXPECT_EQ(indexer.Wait(), 0) << indexer.Errors();
    const std::string proxy = "tcp://127.0.0.1:" + std::to_string(proxy_port_.number());
    for (int i = 0; i < kWorkers; ++i) {
      workers_.push_back(
          &StartWorker("w" + std::to_string(i), {"-t", std::to_string(kThreads), "--coordinator", proxy}));
    }
    ASSERT_TRUE(WaitUntilStored(1));
  }

  // Waits for the indexers, so that no killed scan stays incomplete.
  void RunIndexers() {
    for (Program* indexer : indexers_) indexer->Start();
    for (Program* indexer : indexers_) EXPECT_EQ(indexer->Wait(), 0) << indexer->Errors();
  }

  std::vector<Deed> DrawDeeds() {
    std::vector<Deed> deeds;
    const auto add = [&deeds](Deed deed, int times) { deeds.insert(deeds.end(), times, deed); };
    add(&DistributedChaosTest::KillWorker, kWorkerKills);
    add(&DistributedChaosTest::KillCoordinator, kCoordinatorKills);
    add(&DistributedChaosTest::KillIndexer, kIndexerKills);
    add(&DistributedChaosTest::PauseWorker, kPauses);
    add(&DistributedChaosTest::StopDestination, kOutages);
    add(&DistributedChaosTest::BlockPort, kBlocks);
    std::shuffle(deeds.begin(), deeds.end(), random_);
    return deeds;
  }

  // Waits until some more instances are stored or a time limit is reached.
  void AwaitSomeMoment() {
    const std::uint64_t wanted = Stored(destination_.Log()) + static_cast<std::uint64_t>(Draw(0, 40));
    destination_.WaitFor([=](const auto& log) { return Stored(log) >= wanted; }, milliseconds(Draw(50, 600)));
    MendWhatIsDue();
  }

  // --- faults

  std::size_t DrawRunningWorker() {
    for (;;) {
      const auto drawn = static_cast<std::size_t>(Draw(0, kWorkers - 1));
      if (!paused_.contains(drawn)) return drawn;
    }
  }
  void KillWorker() {
    Program& worker = *workers_[DrawRunningWorker()];
    worker.Kill();
    worker.Start();
    ++kills_;
  }
  // Sometimes kills it again before it listens.
  void KillCoordinator() {
    coordinator_->Kill();
    ++kills_;
    if (Draw(0, 3) == 0) {
      coordinator_->Start();
      coordinator_->Kill();
      ++kills_;
    }
    StartAndListen(*coordinator_);
  }
  void KillIndexer() {
    Program& indexer = *indexers_[static_cast<std::size_t>(Draw(0, 1))];
    indexer.Start();
    while (indexer.EndsWithin(milliseconds(Draw(0, 40)))) indexer.Start();
    indexer.Kill();
    ++kills_;
  }
  void PauseWorker() {
    const std::size_t number = DrawRunningWorker();
    paused_.insert(number);
    workers_[number]->Signal(SIGSTOP);
    MendAfter(kPastTheLease, [this, number] {
      workers_[number]->Signal(SIGCONT);
      paused_.erase(number);
    });
  }
  void StopDestination() {
    if (outages_under_way_++ == 0) destination_.Stop();
    MendAfter(milliseconds(Draw(100, 1500)),
              [this] { EXPECT_TRUE(--outages_under_way_ > 0 || destination_.Start()); });
  }
  void BlockPort() {
    if (blocks_under_way_++ == 0) proxy_->Block();
    MendAfter(milliseconds(Draw(100, 3000)), [this] {
      if (--blocks_under_way_ == 0) proxy_->Unblock();
    });
  }

  void MendAfter(milliseconds time, std::function<void()> mend) {
    to_mend_.emplace(steady_clock::now() + time, std::move(mend));
  }
  bool MendWhatIsDue() {
    while (!to_mend_.empty() && to_mend_.begin()->first <= steady_clock::now()) {
      to_mend_.begin()->second();
      to_mend_.erase(to_mend_.begin());
    }
    return to_mend_.empty();
  }

  // --- checks

  // Counts the leases that the workers gave up because their clock or the coordinator told them to.
  std::uint64_t LeasesLost() const {
    std::uint64_t lost = 0;
    for (const Program* worker : workers_) lost += CountOf(worker->AllErrors(), " is lost: ");
    return lost;
  }
  // Counts the studies that were in progress when a program was killed or paused, or the destination was down.
  std::uint64_t CutOffMost() const { return kThreads * (kWorkerKills + kPauses) + kThreads * kWorkers * kOutages; }

  std::mt19937_64 random_;
  std::vector<ExampleInstance> instances_;
  std::string session_;
  ReservedPort proxy_port_;
  std::unique_ptr<TcpProxy> proxy_ = std::make_unique<TcpProxy>(
      proxy_port_.number(), coordinator_port_.number());  // between the coordinator and the workers
  std::vector<Program*> workers_, indexers_;
  std::set<std::size_t> paused_;
  int outages_under_way_ = 0, blocks_under_way_ = 0;
  std::multimap<steady_clock::time_point, std::function<void()>> to_mend_;
  int kills_ = 0;
};

TEST_F(DistributedChaosTest, EverythingArrivesWhicheverProgramIsKilled) {
  ASSERT_NO_FATAL_FAILURE(StartAll());
  for (const Deed deed : DrawDeeds()) {
    AwaitSomeMoment();
    ASSERT_NO_FATAL_FAILURE((this->*deed)());
  }
  EXPECT_GE(kills_, 50);
  const std::size_t stored = StoredTimes(destination_.Log()).size();
  EXPECT_LT(stored, instances_.size()) << "the migration ended before the last kill";
  ASSERT_TRUE(Eventually([this] { return MendWhatIsDue(); }));
  destination_.SetBehaviour({});
  RunIndexers();
  const auto summary = SummaryAtEnd(session_);
  for (Program* worker : workers_) EXPECT_EQ(worker->Stop(), 0) << worker->name();

  const std::uint64_t again = ExpectAllStored(session_, instances_);
  const std::uint64_t resends = Number(summary, "resends"), associations = destination_.Log().associations.size();
  const std::uint64_t cut_off = CutOffMost() + LeasesLost();
  std::cout << kills_ << " kills while " << stored << " instances were stored, " << LeasesLost() << " leases lost, "
            << again << " instances stored again, " << resends << " resends counted, " << associations
            << " associations" << std::endl;
  EXPECT_LE(resends, kInstances * cut_off);
  EXPECT_LE(associations, kStudies + cut_off);
  EXPECT_LE(Number(summary, "associations"), associations);
}

}  // namespace
}  // namespace dicom_sender
