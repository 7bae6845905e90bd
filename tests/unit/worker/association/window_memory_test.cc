#include "worker/association/window_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using testing::Optional;

const std::string kPacs = "PACS:104@pacs.example";

TEST(WindowMemory, AWindowIsProposedUntilALossSuggestsOtherwise) {
  WindowMemory memory;
  EXPECT_TRUE(memory.MayPropose(kPacs));
  EXPECT_TRUE(memory.Lost(kPacs, /*proposed=*/true, "connection reset"));
  EXPECT_FALSE(memory.MayPropose(kPacs));
  EXPECT_TRUE(memory.MayPropose("OTHER:104@pacs.example"));
}

TEST(WindowMemory, AResponseWithoutAWindowConfirmsTheSuspicionOnce) {
  WindowMemory memory;
  memory.Lost(kPacs, true, "connection reset");
  EXPECT_THAT(memory.Answered(kPacs, /*proposed=*/false), Optional(std::string("connection reset")));
  EXPECT_EQ(memory.Answered(kPacs, false), std::nullopt);
  EXPECT_FALSE(memory.MayPropose(kPacs));
  EXPECT_FALSE(memory.Lost(kPacs, false, "an outage")) << "a later loss without a window";
  EXPECT_FALSE(memory.MayPropose(kPacs)) << "has another cause";
}

TEST(WindowMemory, ALossWithoutAWindowClearsTheSuspicion) {
  WindowMemory memory;
  memory.Lost(kPacs, true, "an outage");
  EXPECT_FALSE(memory.Lost(kPacs, false, "an outage"));
  EXPECT_TRUE(memory.MayPropose(kPacs)) << "an outage does not disable windows permanently";
  EXPECT_EQ(memory.Answered(kPacs, false), std::nullopt);
  EXPECT_TRUE(memory.Lost(kPacs, true, "again")) << "when the outage is over, it may be the window after all";
}

TEST(WindowMemory, ALossAfterAWorkingWindowHasAnotherCause) {
  WindowMemory memory;
  EXPECT_EQ(memory.Answered(kPacs, true), std::nullopt);
  EXPECT_FALSE(memory.Lost(kPacs, true, "an outage"));
  EXPECT_TRUE(memory.MayPropose(kPacs));
}

// Several threads have proposed a window before the first of these associations was lost.
TEST(WindowMemory, ConcurrentAssociationsAreLostForTheSameReason) {
  WindowMemory memory;
  EXPECT_TRUE(memory.Lost(kPacs, true, "first"));
  EXPECT_TRUE(memory.Lost(kPacs, true, "second"));
  EXPECT_THAT(memory.Answered(kPacs, false), Optional(std::string("first")));
  EXPECT_TRUE(memory.Lost(kPacs, true, "third"));
  EXPECT_EQ(memory.Answered(kPacs, true), std::nullopt) << "it does answer within a window";
  EXPECT_TRUE(memory.MayPropose(kPacs));
}

TEST(WindowMemory, WithoutASuspicionNothingIsConcluded) {
  WindowMemory memory;
  EXPECT_FALSE(memory.Lost(kPacs, false, "an outage"));
  EXPECT_EQ(memory.Answered(kPacs, false), std::nullopt);
  EXPECT_TRUE(memory.MayPropose(kPacs));
}

TEST(WindowMemory, IsBounded) {
  WindowMemory memory;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(memory.Lost(std::to_string(i), true, ""));
  EXPECT_FALSE(memory.Lost(kPacs, true, "")) << "nothing is concluded";
  EXPECT_TRUE(memory.MayPropose(kPacs));
  EXPECT_EQ(memory.Answered(kPacs, true), std::nullopt);
  EXPECT_FALSE(memory.MayPropose("0"));
}

}  // namespace
}  // namespace dicom_sender
