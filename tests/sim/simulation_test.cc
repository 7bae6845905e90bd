// Runs a bounded number of seeds; `simulation --seeds A..B` runs any number.
#include "tests/sim/simulation.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <vector>

namespace dicom_sender {
namespace {

class SimulationTest : public testing::Test {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
};

// Runs seeds from `first` on: at most `count`, or as many as fit into the time. Builds with sanitizers run fewer.
void RunSeeds(std::uint64_t first, std::uint64_t count, const SimulationOptions& options) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(15);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const auto result = RunSimulation(seed, options);
    ASSERT_FALSE(result.violation) << "seed " << seed << ": " << *result.violation << "; `simulation --seed " << seed
                                   << "` shows every event";
    ASSERT_GT(result.events, 10U) << "seed " << seed << ": nothing happens";
    if (std::chrono::steady_clock::now() > end) return;
  }
}

TEST_F(SimulationTest, AllInvariantsHoldUnderFaults) { RunSeeds(1, 3000, {}); }

TEST_F(SimulationTest, AllInvariantsHoldOnTheRealLedger) { RunSeeds(1'000'001, 20, {.sqlite = true}); }

bool IsOfTheLedger(const std::string& violation) {
  constexpr const char* kSentences[] = {"have disappeared from", "was stored and is not any more", "forgotten",
                                        "acknowledged and is not in the ledger"};
  return std::any_of(std::begin(kSentences), std::end(kSentences),
                     [&](const char* sentence) { return violation.find(sentence) != std::string::npos; });
}

// The fence prevents a paused leader that continues from overwriting committed data. Currently, `simulation --seed 19
// --no-fence` is the first seed that shows this.
TEST_F(SimulationTest, DetectsAMissingFence) {
  constexpr std::uint64_t kSeedsMax = 200;  // about one in twenty detects it
  const auto loses = [](std::uint64_t seed) {
    const auto result = RunSimulation(seed, {.fence = false});
    return result.violation && IsOfTheLedger(*result.violation);
  };
  std::uint64_t seed = 1;
  while (seed <= kSeedsMax && !loses(seed)) ++seed;
  EXPECT_LE(seed, kSeedsMax);
}

// Does the same as DetectsAMissingFence for the rules of fault attribution.
void ExpectFound(const SimulationOptions& options, const std::string& sentence) {
  constexpr std::uint64_t kSeedsMax = 400;
  const auto finds = [&](std::uint64_t seed) {
    const auto result = RunSimulation(seed, options);
    return result.violation && result.violation->find(sentence) != std::string::npos;
  };
  std::uint64_t seed = 1;
  while (seed <= kSeedsMax && !finds(seed)) ++seed;
  EXPECT_LE(seed, kSeedsMax);
}

TEST_F(SimulationTest, DetectsADestinationBlamedForItsStudies) {
  ExpectFound({.echo = false}, "it does not come to an end");
}

TEST_F(SimulationTest, DetectsAnInstanceBlamedForItsWorker) {
  ExpectFound({.unreadable = false}, "has failed after");
}

TEST_F(SimulationTest, ASeedIsReproducible) {
  std::vector<std::string> first, second;
  RunSimulation(7, {.trace = [&first](const std::string& line) { first.push_back(line); }});
  RunSimulation(7, {.trace = [&second](const std::string& line) { second.push_back(line); }});
  EXPECT_GT(first.size(), 10U);
  EXPECT_EQ(first, second);
}

}  // namespace
}  // namespace dicom_sender
