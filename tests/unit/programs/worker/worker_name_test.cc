#include "programs/worker/worker_name.h"

#include <gtest/gtest.h>

#include <optional>

namespace dicom_sender {
namespace {

// Other tests on this machine may also have workers, so only the difference counts.
TEST(WorkerName, IsUniqueOnTheMachineAndReleasedAfterwards) {
  std::optional<WorkerName> first(std::in_place);
  const WorkerName second;
  EXPECT_NE(first->text(), second.text());
  EXPECT_EQ(first->text().substr(0, first->text().rfind('-')), second.text().substr(0, second.text().rfind('-')));
  first.reset();
  const WorkerName third;
  EXPECT_NE(third.text(), second.text());
}

}  // namespace
}  // namespace dicom_sender
