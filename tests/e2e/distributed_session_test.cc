// Sessions that are shared among coordinator, indexers and workers.
#include "tests/e2e/migration_fixture.h"

namespace dicom_sender {
namespace {

class DistributedSessionTest : public MigrationTest {};

TEST_F(DistributedSessionTest, SeveralWorkersSendItAll) {
  const auto instances = WriteExampleStudies(data(), 8, 10);
  StartDestination();
  StartCoordinator();
  for (const char* name : {"w0", "w1", "w2"}) StartWorker(name, {"-t", "2"});
  const std::string session = Feed();
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  const auto summary = SummaryAtEnd(session);
  EXPECT_EQ(Number(summary, "resends"), 0U);
  EXPECT_EQ(Number(summary, "associations"), 8U);
  EXPECT_EQ(destination_.Log().associations.size(), 8U);
}

}  // namespace
}  // namespace dicom_sender
