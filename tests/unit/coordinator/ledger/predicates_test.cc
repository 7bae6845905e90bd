#include "coordinator/ledger/predicates.h"

#include <gmock/gmock.h>

#include <array>
#include <set>

namespace dicom_sender {
namespace {

using testing::Contains;
using testing::Not;
using enum InstanceState;

TEST(PredicatesTest, TheListOfStatesMatchesTheEnum) {
  std::set<int> numbers;
  for (const InstanceState state : kInstanceStates) numbers.insert(static_cast<int>(state));
  for (int number = 0; number <= static_cast<int>(kConflict); ++number) {
    if (number == 6) continue;  // reserved
    EXPECT_THAT(numbers, Contains(number));
  }
  EXPECT_THAT(numbers, Not(Contains(6)));
}

TEST(PredicatesTest, ConditionsOnInstancesMatchTheEnum) {
  EXPECT_EQ(Sql(kFailed), "4");
  EXPECT_EQ(StateIs(kFailed), "state = 4");
  EXPECT_EQ(StateIs(kConflict, "i.state"), "i.state = 7");
  EXPECT_EQ(StateIsUnsettled(), "state IN (0, 1)");
  EXPECT_EQ(StateIsSettled("i.state"), "i.state IN (2, 3, 4, 5, 7)");
  EXPECT_EQ(StateIn(std::array{kSkipped, kConflict}), "state IN (5, 7)");
}

TEST(PredicatesTest, ConditionsOnStudiesNameTheirCounts) {
  EXPECT_EQ(UnsettledInstances(), "total - stored - warned - failed - skipped");
  EXPECT_EQ(HasUnsettled("t."), "t.total > t.stored + t.warned + t.failed + t.skipped");
  EXPECT_EQ(MayHave(kSkipped, "s."), "s.skipped > s.conflicts");
  EXPECT_EQ(MayHave(std::array{kStored, kFailed}), "(stored > 0 OR failed > 0)");
  EXPECT_EQ(MayHave(std::array{kDelayed}), "(total > stored + warned + failed + skipped)");
}

TEST(PredicatesTest, ConditionsOnSessionsMatchTheEnum) {
  EXPECT_EQ(Sql(wire::SESSION_SENDING), std::to_string(static_cast<int>(wire::SESSION_SENDING)));
  EXPECT_EQ(StateIn(std::array{wire::SESSION_SCANNING, wire::SESSION_SENDING}, "s.state"),
            "s.state IN (" + Sql(wire::SESSION_SCANNING) + ", " + Sql(wire::SESSION_SENDING) + ")");
}

TEST(PredicatesTest, ASessionRunsWhileItScansOrSends) {
  EXPECT_TRUE(IsRunning(wire::SESSION_SCANNING));
  EXPECT_TRUE(IsRunning(wire::SESSION_SENDING));
  for (const auto state : {wire::SESSION_COMPLETE, wire::SESSION_UNREACHABLE, wire::SESSION_REFUSED,
                           wire::SESSION_SUSPENDED, wire::SESSION_CANCELLED}) {
    EXPECT_FALSE(IsRunning(state));
  }
}

}  // namespace
}  // namespace dicom_sender
