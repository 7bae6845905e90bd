#include "indexer/batch.h"

#include <gtest/gtest.h>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

wire::Instance Instance(std::uint32_t root, const std::string& path) {
  wire::Instance instance;
  instance.set_root(root);
  instance.set_path(path);
  return instance;
}

TEST(BatchBuilder, GroupsByStudyAndNamesTheRootsItUses) {
  BatchBuilder builder("S", "I", {"/a", "/b", "/c"});
  EXPECT_TRUE(builder.empty());
  builder.Add("1.2", "", Instance(0, "x"));
  builder.Add("", "", Instance(2, "y"));
  builder.Add("1.2", "", Instance(0, "z"));
  EXPECT_FALSE(builder.full());
  const auto batch = builder.Take();
  EXPECT_EQ(batch.session(), "S");
  ASSERT_EQ(batch.studies_size(), 2);
  EXPECT_EQ(batch.studies(0).study_instance_uid(), "1.2");
  EXPECT_EQ(batch.studies(0).instances_size(), 2);
  EXPECT_EQ(batch.studies(1).study_instance_uid(), "");
  ASSERT_EQ(batch.roots_size(), 2);
  EXPECT_EQ(batch.roots(1).id(), 2U);
  EXPECT_EQ(batch.roots(1).path(), "/c");
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.Take().studies_size(), 0);
}

TEST(BatchBuilder, AStudyHasItsFirstAccessionNumber) {
  BatchBuilder builder("S", "I", {"/a"});
  builder.Add("1.2", "", Instance(0, "w"));
  builder.Add("1.2", "A1", Instance(0, "x"));
  builder.Add("1.2", "A2", Instance(0, "y"));
  builder.Add("", "A3", Instance(0, "z"));
  const auto batch = builder.Take();
  EXPECT_EQ(batch.studies(0).accession_number(), "A1");
  EXPECT_EQ(batch.studies(1).accession_number(), "") << "files that belong to no study";
}

TEST(BatchBuilder, IsFullAtTheMaximumNumber) {
  BatchBuilder builder("S", "I", {"/a"});
  for (int i = 0; i < kBatchInstancesMax; ++i) {
    ASSERT_FALSE(builder.full());
    builder.Add("1", "", Instance(0, "x"));
  }
  EXPECT_TRUE(builder.full());
}

TEST(BatchBuilder, IsFullBeforeTheMessageIsTooLong) {
  BatchBuilder builder("S", "I", {"/a"});
  int i = 0;
  for (; !builder.full(); ++i) {
    wire::Instance instance = Instance(0, std::string(kPathBytesMax, 'x'));
    instance.set_defect(std::string(kReasonBytesMax, 'y'));
    builder.Add(std::to_string(i), std::string(64, 'A'),
                std::move(instance));  // each in its own study, which has the highest overhead
  }
  EXPECT_LT(i, kBatchInstancesMax);
  EXPECT_LT(builder.Take().ByteSizeLong(), kMessageBytesMax);
}

}  // namespace
}  // namespace dicom_sender
