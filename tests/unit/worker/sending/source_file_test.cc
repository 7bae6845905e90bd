#include "worker/sending/source_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "dicom/file/file_header.h"
#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

class SourceFileTest : public testing::Test {
 protected:
  wire::Instance Write(const ExampleInstance& example) {
    WriteFile(path_, ExampleFile(example));
    const auto header = ReadFileHeader(path_);
    EXPECT_TRUE(header);
    wire::Instance instance;
    instance.set_sop_class_uid(header->sop_class_uid);
    instance.set_sop_instance_uid(header->sop_instance_uid);
    instance.set_transfer_syntax_uid(header->transfer_syntax_uid);
    instance.set_dataset_offset(header->dataset_offset);
    instance.set_size_bytes(header->identity.size_bytes);
    instance.set_mtime_ns(header->identity.mtime_ns);
    return instance;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "a.dcm";
};

TEST_F(SourceFileTest, AnUnchangedFileIsNotReadAgain) {
  wire::Instance instance = Write({});
  instance.set_dataset_offset(instance.dataset_offset() + 2);  // reading the file again would reveal the difference
  const auto source = OpenSourceFile(path_, instance);
  ASSERT_TRUE(source) << source.error().reason;
  EXPECT_EQ(source->dataset_offset, instance.dataset_offset());
  EXPECT_EQ(source->dataset_bytes, instance.size_bytes() - instance.dataset_offset());
}

TEST_F(SourceFileTest, AChangedFileIsReadAgain) {
  const wire::Instance old = Write({});
  ExampleInstance longer;
  longer.pixel_bytes = 200;
  const wire::Instance now = Write(longer);
  const auto source = OpenSourceFile(path_, old);
  ASSERT_TRUE(source) << source.error().reason;
  EXPECT_EQ(source->dataset_bytes, now.size_bytes() - now.dataset_offset());
}

TEST_F(SourceFileTest, AnotherInstanceInItsPlaceIsNotSent) {
  const wire::Instance old = Write({});
  ExampleInstance other;
  other.sop_instance_uid += ".77";
  Write(other);
  const auto source = OpenSourceFile(path_, old);
  ASSERT_FALSE(source);
  EXPECT_THAT(source.error().reason, HasSubstr("another instance"));
}

TEST_F(SourceFileTest, AFileThatBecameTruncatedIsNotSent) {
  const wire::Instance old = Write({});
  std::filesystem::resize_file(path_, old.size_bytes() - 10);
  const auto source = OpenSourceFile(path_, old);
  ASSERT_FALSE(source);
  EXPECT_THAT(source.error().reason, HasSubstr("changed since the scan"));
}

TEST_F(SourceFileTest, AMissingFileIsReported) {
  const wire::Instance old = Write({});
  std::filesystem::remove(path_);
  const auto source = OpenSourceFile(path_, old);
  ASSERT_FALSE(source);
  EXPECT_TRUE(source.error().storage_away) << "its folder is empty like an unmounted mount point";

  WriteFile(folder_ / "other.dcm", "something else");
  const auto alone = OpenSourceFile(path_, old);
  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error().reason, HasSubstr("No such file"));
  EXPECT_FALSE(alone.error().storage_away);
}

TEST_F(SourceFileTest, AMissingFolderIsAStorageOutage) {
  std::filesystem::create_directories(folder_ / "study");
  path_ = folder_ / "study/a.dcm";
  const wire::Instance old = Write({});
  std::filesystem::rename(folder_ / "study", folder_ / "elsewhere");
  const auto source = OpenSourceFile(path_, old);
  ASSERT_FALSE(source);
  EXPECT_THAT(source.error().reason, HasSubstr("is its storage mounted?"));
  EXPECT_TRUE(source.error().storage_away);
  std::filesystem::rename(folder_ / "elsewhere", folder_ / "study");
  EXPECT_TRUE(OpenSourceFile(path_, old)) << "and it may come back";
}

// The storage returns at an arbitrary point between the steps of one call.
TEST_F(SourceFileTest, StorageThatReturnsMeanwhileIsNotAMissingFile) {
  std::filesystem::create_directories(folder_ / "study");
  path_ = folder_ / "study/a.dcm";
  const wire::Instance old = Write({});
  WriteFile(folder_ / "study/other.dcm", "something else");
  for (int round = 0; round < 300; ++round) {
    std::filesystem::rename(folder_ / "study", folder_ / "elsewhere");
    std::thread storage([&] { std::filesystem::rename(folder_ / "elsewhere", folder_ / "study"); });
    for (bool opened = false; !opened;) {
      const auto source = OpenSourceFile(path_, old);
      opened = source.has_value();
      EXPECT_TRUE(opened || source.error().storage_away) << source.error().reason;
    }
    storage.join();
  }
}

TEST_F(SourceFileTest, APermissionErrorIsTransient) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const wire::Instance old = Write({});
  std::filesystem::permissions(path_, std::filesystem::perms::none);
  const auto source = OpenSourceFile(path_, old);
  ASSERT_FALSE(source);
  EXPECT_TRUE(source.error().storage_away);
}

TEST_F(SourceFileTest, APipeInItsPlaceDoesNotBlock) {
  const wire::Instance old = Write({});
  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(OpenSourceFile(path_, old));
}

}  // namespace
}  // namespace dicom_sender
