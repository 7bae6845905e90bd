#include "coordinator/scheduler/ready_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const ReadyGroup kAll{.session = 1, .unreadable_by = {}};
const ReadyGroup kNotByW{.session = 1, .unreadable_by = {"w"}};

std::vector<StudyKey> StudiesOf(const ReadyQueue& queue, const ReadyGroup& group) {
  std::vector<StudyKey> studies;
  for (const ReadyStudy& study : queue.groups().at(group)) studies.push_back(study.study);
  return studies;
}

TEST(ReadyQueueTest, TheLargestStudyIsFirstAndDeferredOnesAreLast) {
  ReadyQueue queue;
  queue.Insert(kAll, {.setbacks = 0, .bytes = 10, .study = 1});
  queue.Insert(kAll, {.setbacks = 1, .bytes = 90, .study = 2});
  queue.Insert(kAll, {.setbacks = 0, .bytes = 20, .study = 4});
  queue.Insert(kAll, {.setbacks = 0, .bytes = 20, .study = 3});
  EXPECT_THAT(StudiesOf(queue, kAll), ElementsAre(3, 4, 1, 2));
}

TEST(ReadyQueueTest, StudiesThatSomeWorkersCannotReadFormTheirOwnGroup) {
  ReadyQueue queue;
  queue.Insert(kAll, {.bytes = 10, .study = 1});
  queue.Insert(kNotByW, {.bytes = 20, .study = 2});
  EXPECT_EQ(queue.size(), 2);
  EXPECT_THAT(StudiesOf(queue, kAll), ElementsAre(1));
  EXPECT_THAT(StudiesOf(queue, kNotByW), ElementsAre(2));
  EXPECT_TRUE(queue.Contains(kNotByW, {.bytes = 20, .study = 2}));
  EXPECT_FALSE(queue.Contains(kAll, {.bytes = 20, .study = 2}));
}

TEST(ReadyQueueTest, AnEmptyGroupIsRemoved) {
  ReadyQueue queue;
  queue.Insert(kAll, {.bytes = 10, .study = 1});
  queue.Erase(kAll, {.bytes = 10, .study = 1});
  EXPECT_THAT(queue.groups(), IsEmpty());
  EXPECT_EQ(queue.size(), 0);
}

}  // namespace
}  // namespace dicom_sender
