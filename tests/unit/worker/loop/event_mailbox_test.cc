#include "worker/loop/event_mailbox.h"

#include <gtest/gtest.h>

#include "worker/agent/agent.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;

class EventMailboxTest : public testing::Test {
 protected:
  static constexpr TimePoint kStart{std::chrono::seconds(100)};

  // Returns whether the event wakes the loop, which then clears its wake event.
  template <class What>
  bool Wakes(What what, TimePoint now = kStart) {
    mailbox_.Post({.lease = 1, .what = std::move(what)}, now);
    const bool raised = wake_.raised();
    wake_.Clear();
    return raised;
  }

  WakeEvent wake_;
  EventMailbox mailbox_{wake_};
};

TEST_F(EventMailboxTest, OutcomesInQuickSuccessionWakeTheLoopOnce) {
  EXPECT_TRUE(Wakes(wire::Outcome()));
  EXPECT_FALSE(Wakes(wire::Outcome(), kStart + milliseconds(9)));
  EXPECT_TRUE(Wakes(wire::Outcome(), kStart + kReportEvery));
}

TEST_F(EventMailboxTest, ManyOutcomesDoNotWait) {
  for (std::size_t i = 1; i <= 2 * kReportAtOnce; ++i) {
    EXPECT_EQ(Wakes(wire::Outcome()), i == 1 || i % kReportAtOnce == 0) << i;
  }
}

TEST_F(EventMailboxTest, AWaitingThreadWakesTheLoopAtOnce) {
  EXPECT_TRUE(Wakes(wire::Outcome()));
  EXPECT_TRUE(Wakes(PageWanted()));
  EXPECT_TRUE(Wakes(StudyFinished()));
}

TEST_F(EventMailboxTest, ACountedAssociationWaitsForTheNextOutcome) { EXPECT_FALSE(Wakes(AssociationCounted())); }

TEST_F(EventMailboxTest, EventsAreTakenOnceInOrder) {
  Wakes(PageWanted{.from_index = 3});
  Wakes(AssociationCounted());
  const auto events = mailbox_.Take();
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(std::get<PageWanted>(events[0].what).from_index, 3);
  EXPECT_TRUE(std::holds_alternative<AssociationCounted>(events[1].what));
  EXPECT_TRUE(mailbox_.Take().empty());
}

}  // namespace
}  // namespace dicom_sender
