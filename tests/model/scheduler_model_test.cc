// Runs a bounded number of duels; the fuzz target scheduler_fuzzer runs more.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <vector>

#include "tests/model/scheduler_duel.h"

namespace dicom_sender {
namespace {

TEST(SchedulerModel, SchedulerMatchesTheModel) {
  constexpr std::uint32_t kSeeds = 4000;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);  // with sanitizers, fewer duels fit
  for (std::uint32_t seed = 0; seed < kSeeds && std::chrono::steady_clock::now() < end; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> bytes(900);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const auto difference = RunSchedulerDuel(bytes);
    ASSERT_FALSE(difference) << "seed " << seed << ":\n" << *difference;
  }
}

}  // namespace
}  // namespace dicom_sender
