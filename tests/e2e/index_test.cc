// Which files the scan finds, and what happens to them.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class IndexTest : public SenderTest {
 protected:
  void SetUp() override { StartDestination(); }

  // Returns a distinct instance for each number.
  static ExampleInstance Instance(int number) {
    ExampleInstance instance;
    instance.sop_instance_uid += "." + std::to_string(number);
    return instance;
  }
  // Everything was stored, each SOP instance once.
  void ExpectStored(std::uint64_t instances) {
    const auto summary = Summary();
    ExpectCountsAddUp(summary);
    EXPECT_EQ(Number(summary, "successful_transfers"), instances);
    EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
    const auto log = destination_.Log();
    EXPECT_EQ(log.instances.size(), instances);
    EXPECT_EQ(StoredTimes(log).size(), instances);
  }
  // Does the same as ExpectStored, and expects no other files.
  void ExpectOnlyStored(std::uint64_t instances) {
    ExpectStored(instances);
    EXPECT_EQ(Number(Summary(), "total_files"), instances);
  }
  std::uint64_t Ignored(const char* reason) const { return Number(Summary()["ignored_by_reason"], reason); }
  std::string Log() const { return ReadFile(Files(".log").at(0)); }
};

TEST_F(IndexTest, SubfoldersAreIgnoredByDefault) {
  WriteFile(data() / "top.dcm", ExampleFile(Instance(1)));
  WriteFile(data() / "sub" / "below.dcm", ExampleFile(Instance(2)));
  EXPECT_EQ(RunCommand(CommandFor({"-i", data()})), 0) << result_.output << result_.errors;
  ExpectOnlyStored(1);
}

TEST_F(IndexTest, SubfoldersAreScannedWithR) {
  WriteFile(data() / "top.dcm", ExampleFile(Instance(1)));
  WriteFile(data() / "sub" / "deeper" / "below.dcm", ExampleFile(Instance(2)));
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectOnlyStored(2);
}

TEST_F(IndexTest, SeveralInputsFilesAndFolders) {
  WriteFile(folder_ / "a" / "1.dcm", ExampleFile(Instance(1)));
  WriteFile(folder_ / "b" / "2.dcm", ExampleFile(Instance(2)));
  WriteFile(folder_ / "b" / "3.dcm", ExampleFile(Instance(3)));
  WriteFile(folder_ / "single.dcm", ExampleFile(Instance(4)));
  WriteFile(folder_ / "not_asked_for.dcm", ExampleFile(Instance(5)));
  EXPECT_EQ(RunCommand(CommandFor({"-i", folder_ / "a", "-i", folder_ / "b", "-i", folder_ / "single.dcm"})), 0)
      << result_.output << result_.errors;
  ExpectOnlyStored(4);
}

TEST_F(IndexTest, ARepeatedInputChangesNothing) {
  WriteExampleStudies(data(), 2, 2);
  EXPECT_EQ(Run({"-i", data(), "-i", data() / "."}), 0) << result_.output << result_.errors;
  ExpectOnlyStored(4);
}

TEST_F(IndexTest, AnInputWithinAnotherSendsNothingTwice) {
  WriteExampleStudies(data(), 2, 2);
  EXPECT_EQ(Run({"-i", data() / "study_1", "-i", data() / "study_2" / "image_1.dcm"}), 0)
      << result_.output << result_.errors;
  ExpectStored(4);
}

TEST_F(IndexTest, LinkLoopsEnd) {
  WriteExampleStudies(data(), 1, 2);
  fs::create_directory_symlink(data(), data() / "study_1" / "up");
  fs::create_directory_symlink(".", data() / "here");
  fs::create_symlink("itself", data() / "itself");
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectOnlyStored(2);
}

TEST_F(IndexTest, ADanglingLinkIsReportedInTheExitStatus) {
  WriteExampleStudies(data(), 1, 2);
  fs::create_symlink("nowhere", data() / "dangling");
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  ExpectStored(2);
  EXPECT_EQ(Number(Summary(), "not_read_files"), 1U);
  EXPECT_EQ(Number(Summary(), "ignored_files"), 0U);
  EXPECT_THAT(result_.output, AllOf(HasSubstr("1 file NOT READ"), Not(HasSubstr("Complete"))));
  EXPECT_THAT(ReadFile(Files("_failures.ndjson").at(0)), HasSubstr("/dangling\""));
}

TEST_F(IndexTest, LinksToFilesAndFoldersElsewhereAreFollowed) {
  WriteFile(folder_ / "elsewhere" / "1.dcm", ExampleFile(Instance(1)));
  WriteFile(folder_ / "single.dcm", ExampleFile(Instance(2)));
  fs::create_directories(data());
  fs::create_directory_symlink(folder_ / "elsewhere", data() / "folder");
  fs::create_directory_symlink(folder_ / "elsewhere", data() / "the_same_folder");
  fs::create_symlink(folder_ / "single.dcm", data() / "file");
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectStored(2);
}

TEST_F(IndexTest, FilesAreRecognizedByContentNotByName) {
  WriteFile(data() / "no_extension", ExampleFile(Instance(1)));
  WriteFile(data() / "picture.jpg", ExampleFile(Instance(2)));
  WriteFile(data() / ".hidden", ExampleFile(Instance(3)));
  WriteFile(data() / "text.dcm", "not DICOM at all, only a text that is long enough to be looked at");
  WriteFile(data() / "empty.dcm", "");
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectOnlyStored(3);
  EXPECT_EQ(Number(Summary(), "ignored_files"), 2U);
  EXPECT_EQ(Ignored("not_dicom"), 1U);
  EXPECT_EQ(Ignored("empty"), 1U);
  EXPECT_THAT(Log(), AllOf(HasSubstr("text.dcm"), HasSubstr("empty.dcm")));
}

TEST_F(IndexTest, APipeDoesNotStopTheScan) {
  WriteExampleStudies(data(), 1, 2);
  ASSERT_EQ(mkfifo((data() / "pipe.dcm").c_str(), 0600), 0);
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectOnlyStored(2);
}

TEST_F(IndexTest, UnreadableFilesDoNotStopTheScan) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  WriteExampleStudies(data(), 2, 2);
  WriteFile(data() / "locked.dcm", ExampleFile(Instance(9)));
  fs::permissions(data() / "locked.dcm", fs::perms::none);
  fs::permissions(data() / "study_2", fs::perms::none);
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  fs::permissions(data() / "study_2", fs::perms::owner_all);
  ExpectOnlyStored(2);
  EXPECT_EQ(Number(Summary(), "not_read_files"), 1U);
  EXPECT_EQ(Number(Summary(), "not_read_folders"), 1U);
  EXPECT_THAT(ReadFile(Files("_failures.ndjson").at(0)), AllOf(HasSubstr("locked.dcm"), HasSubstr("study_2")));
  EXPECT_THAT(Log(), AllOf(HasSubstr("locked.dcm"), HasSubstr("study_2"), HasSubstr("denied")));
}

TEST_F(IndexTest, DicomdirIsIgnored) {
  WriteExampleStudies(data(), 1, 2);
  ExampleInstance directory = Instance(9);
  directory.sop_class_uid = "1.2.840.10008.1.3.10";  // Media Storage Directory Storage
  WriteFile(data() / "DICOMDIR", ExampleFile(directory));
  WriteFile(data() / "by_another_name", ExampleFile(directory));
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectOnlyStored(2);
  EXPECT_EQ(Ignored("dicomdir"), 2U);
}

TEST_F(IndexTest, PreambleAndMetaHeaderMayBeMissing) {
  const std::vector<ExampleInstance> instances = {Instance(1), Instance(2)};
  WriteFile(data() / "no_preamble", ExampleFile(instances[0]).substr(132));
  WriteFile(data() / "no_meta_header", ExampleDataset(instances[1]));
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectOnlyStored(2);
  for (const auto& received : destination_.Log().instances) {
    const auto& sent = instances[received.sop_instance == instances[1].sop_instance_uid];
    EXPECT_EQ(received.fnv1a_hash, Fnv1a(ExampleDataset(sent))) << received.sop_instance;
  }
}

TEST_F(IndexTest, FilesWithoutAStudyFormTheirOwnGroup) {
  WriteExampleStudies(data(), 1, 1);
  for (int i = 1; i <= 2; ++i) {
    ExampleInstance instance = Instance(i);
    instance.study_uid = "";
    WriteFile(data() / ("lost_" + std::to_string(i)), ExampleFile(instance));
  }
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectOnlyStored(3);
  EXPECT_THAT(result_.output,
              AllOf(HasSubstr("grouped into 2 studies"), HasSubstr("(no Study Instance UID): 2 files")));
  EXPECT_THAT(Log(), testing::ContainsRegex("WARN  .*Study Instance UID"));
  EXPECT_EQ(Number(Summary(), "associations"), 2U);
}

TEST_F(IndexTest, MissingUidsAreReportedAsFailures) {
  WriteExampleStudies(data(), 1, 1);
  ExampleInstance no_instance, no_class = Instance(1);
  no_instance.sop_instance_uid = "";
  no_class.sop_class_uid = "";
  WriteFile(data() / "no_instance", ExampleFile(no_instance));
  WriteFile(data() / "no_class", ExampleFile(no_class));
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  ASSERT_EQ(summary["failures"].Size(), 2U);
  for (const auto& failure : summary["failures"].GetArray()) {
    const bool is_instance = std::string(failure["path"].GetString()).ends_with("no_instance");
    EXPECT_THAT(failure["reason"].GetString(), HasSubstr(is_instance ? "SOP Instance UID" : "SOP Class UID"));
    EXPECT_EQ(Number(failure, "attempts"), 0U);
  }
  EXPECT_EQ(destination_.Log().instances.size(), 1U);
}

TEST_F(IndexTest, FilesWithUnusualNamesArriveAndAreLoggedOnOneLine) {
  const std::vector<std::string> names = {"new\nline.dcm",   "quote\"'`$(x).dcm", "latin\xE9.dcm",
                                          "esc\x1b[31m.dcm", " leading space",    "-i",
                                          "back\\slash.dcm", "[a,b]{}.dcm"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto number = static_cast<int>(i);
    WriteFile(data() / names[i], ExampleFile(Instance(number)));
    const std::string broken = ExampleFile(Instance(100 + number));
    WriteFile(data() / ("broken " + names[i]), broken.substr(0, broken.size() - 10));
  }
  EXPECT_EQ(Run({"-v"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), names.size());
  EXPECT_EQ(summary["failures"].Size(), names.size());
  EXPECT_EQ(StoredTimes(destination_.Log()).size(), names.size());
  const std::string failures = ReadFile(Files("_failures.ndjson").at(0));
  EXPECT_EQ(static_cast<std::size_t>(std::count(failures.begin(), failures.end(), '\n')), names.size());
  for (const std::string& text : {result_.output, Log(), failures}) {
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_EQ(text.find('\xE9'), std::string::npos) << "not UTF-8";
    EXPECT_EQ(text.find("\nline.dcm"), std::string::npos);
  }
}

// The result does not depend on which one is found first.
TEST_F(IndexTest, ABrokenCopyDoesNotHideAGoodOne) {
  const std::string whole = ExampleFile(Instance(1));
  WriteFile(folder_ / "good.dcm", whole);
  WriteFile(folder_ / "broken.dcm", whole.substr(0, whole.size() - 10));
  std::uint64_t runs = 0;
  for (const auto& [first, second] : {std::pair("good.dcm", "broken.dcm"), std::pair("broken.dcm", "good.dcm")}) {
    SCOPED_TRACE(first);
    fs::remove_all(out());
    EXPECT_EQ(RunCommand(CommandFor({"-i", folder_ / first, "-i", folder_ / second})), 1) << result_.output;
    const auto summary = Summary();
    ExpectCountsAddUp(summary);
    EXPECT_EQ(Number(summary, "successful_transfers"), 1U);
    EXPECT_EQ(Number(summary, "failed_transfers"), 1U);
    EXPECT_EQ(Stored(destination_.Log()), ++runs);
  }
}

// The destination is down until the scan is complete.
TEST_F(IndexTest, FilesThatVanishOrChangeAfterTheScanAreReadAgain) {
  WriteExampleStudies(data(), 1, 4);
  destination_.Stop();
  ChildProcess sender(Command());
  ASSERT_TRUE(sender.WaitForText("refused", kRunTimeout)) << sender.Output() << sender.Errors();
  const auto image = [this](int i) { return data() / "study_1" / ("image_" + std::to_string(i) + ".dcm"); };
  fs::remove(image(1));
  ExampleInstance changed;  // longer, but still the same instance
  changed.sop_instance_uid = "1.2.826.0.1.3680043.10.1400.1.2";
  changed.pixel_bytes = 1000;
  WriteFile(image(2), ExampleFile(changed));
  const std::string third = ReadFile(image(3));
  WriteFile(image(3), third.substr(0, third.size() - 10));
  ASSERT_TRUE(destination_.Start());
  const auto end = sender.Wait(kRunTimeout);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 1) << sender.Output() << sender.Errors();
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 2U);
  EXPECT_NE(FailureOf(summary, "1.2.826.0.1.3680043.10.1400.1.1"), "");
  EXPECT_NE(FailureOf(summary, "1.2.826.0.1.3680043.10.1400.1.3"), "");
  const auto log = destination_.Log();
  ASSERT_EQ(log.instances.size(), 2U) << "nothing was sent in part";
  EXPECT_TRUE(std::any_of(log.instances.begin(), log.instances.end(), [&](const InstanceRecord& received) {
    return received.fnv1a_hash == Fnv1a(ExampleDataset(changed));
  }));
}

}  // namespace
}  // namespace dicom_sender
