// Files from other programs, valid and broken ones: each ends with an outcome and a reason, and every stored dataset
// equals its source.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <numeric>

#include "tests/e2e/archives.h"
#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

namespace fs = std::filesystem;

// Lower bounds. Of the 172 files that are complete and have their UIDs, each is stored or skipped as a copy of
// another file. Eight have a SOP class that storescp does not accept.
constexpr std::uint64_t kLeastSendable = 170, kLeastForStorescp = 160;

class RealFilesTest : public SenderTest {
 protected:
  void SetUp() override {
    if (!fs::is_directory(REAL_FILES)) GTEST_SKIP() << REAL_FILES << " is not there";
    if (FindProgram("storescp").empty()) GTEST_SKIP() << "storescp is not installed";
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    folder_of_files_ = fs::canonical(REAL_FILES);  // reports contain canonical paths, without ".."
    files_ = FilesBelow(folder_of_files_);
  }
  std::vector<std::string> SendAll() const { return CommandFor({"-i", folder_of_files_, "-r"}, {"-v", "-t", "2"}); }

  // Returns the paths of a list of the summary. Each entry has a reason, and a further attempt would not change it.
  static std::vector<std::string> Paths(const rapidjson::Value& list) {
    std::vector<std::string> paths;
    for (const auto& entry : list.GetArray()) {
      paths.emplace_back(entry["path"].GetString());
      EXPECT_GT(entry["reason"].GetStringLength(), 0U) << paths.back();
      EXPECT_LE(Number(entry, "attempts"), 1U) << paths.back() << ": " << entry["reason"].GetString();
    }
    return paths;
  }
  static bool Contains(const std::vector<std::string>& list, const std::string& text) {
    return std::find(list.begin(), list.end(), text) != list.end();
  }

  // Each file on disk has exactly one outcome: stored, failed, or skipped in the summary, or ignored in the log.
  void ExpectOneFateEach(const rapidjson::Value& summary) const {
    ExpectCountsAddUp(summary);
    const auto failed = Paths(summary["failures"]), skipped = Paths(summary["skipped_files"]);
    EXPECT_EQ(failed.size(), Number(summary, "failed_transfers"));
    EXPECT_EQ(skipped.size(), Number(summary, "skipped"));
    const std::uint64_t ignored = Number(summary, "ignored_files");
    EXPECT_EQ(Number(summary, "total_files") + ignored, files_.size());
    const auto& reasons = summary["ignored_by_reason"];
    EXPECT_EQ(ignored, std::accumulate(reasons.MemberBegin(), reasons.MemberEnd(), std::uint64_t{0},
                                       [](auto sum, const auto& reason) { return sum + reason.value.GetUint64(); }));
    const std::string log = ReadFile(Files(".log").at(0));
    std::uint64_t stored_seen = 0, ignored_seen = 0;
    for (const fs::path& file : files_) {
      const std::string line = "stored  " + file.string();
      const bool stored = result_.output.find(line + " (") != std::string::npos ||
                          result_.output.find(line + ": decoded (") != std::string::npos;
      const int fates = stored + Contains(failed, file) + Contains(skipped, file);
      EXPECT_LE(fates, 1) << file;
      stored_seen += stored;
      ignored_seen += fates == 0;
      if (fates == 0) {
        EXPECT_NE(log.find(file.string()), std::string::npos) << file << " has no outcome and is not in the log";
      }
    }
    EXPECT_EQ(stored_seen, Number(summary, "successful_transfers") - Number(summary, "warnings"));
    EXPECT_EQ(ignored_seen, ignored);
  }

  static std::string SopInstanceUid(const fs::path& file) {
    DcmFileFormat format;
    OFString uid;
    if (format.loadFile(file.c_str()).bad()) return {};
    format.getDataset()->findAndGetOFString(DCM_SOPInstanceUID, uid);
    return uid.c_str();
  }

  fs::path folder_of_files_;
  std::vector<fs::path> files_;
};

// Returns the bytes of the dataset after the meta header; nullopt if the meta header has no group length.
std::optional<std::string> DatasetBytes(const std::string& file) {
  constexpr std::string_view kGroupLength("DICM\2\0\0\0UL\4\0", 12);  // PS3.10 7.1
  if (file.size() < 144 || file.compare(128, kGroupLength.size(), kGroupLength) != 0) return std::nullopt;
  const auto byte = [&file](std::size_t i) { return std::size_t{static_cast<unsigned char>(file[i])}; };
  const std::size_t length = byte(140) | byte(141) << 8 | byte(142) << 16 | byte(143) << 24;
  if (file.size() < 144 + length) return std::nullopt;
  std::string dataset = file.substr(144 + length);
  if (dataset.size() % 2 != 0) dataset.push_back('\0');  // a deflated dataset is padded (PS3.5 A.5)
  return dataset;
}

TEST_F(RealFilesTest, ADestinationThatAcceptsAllSyntaxesStoresEachDatasetByteForByte) {
  StartDestination();
  EXPECT_EQ(RunCommand(SendAll()), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectOneFateEach(summary);
  EXPECT_GE(Number(summary, "successful_transfers") + Number(summary, "skipped"), kLeastSendable);
  const auto log = EndedLog();
  EXPECT_EQ(Stored(log), Number(summary, "successful_transfers"));
  for (const auto& association : log.associations) EXPECT_EQ(association.end, AssociationEnd::kReleased);

  std::multimap<std::string, std::string> sources;  // by SOP Instance UID
  for (const fs::path& file : files_) sources.emplace(SopInstanceUid(file), ReadFile(file));
  std::uint64_t compared = 0;
  for (const InstanceRecord& received : log.instances) {
    const auto [begin, end] = sources.equal_range(received.sop_instance);
    const bool equal = std::any_of(begin, end, [&](const auto& source) {
      const auto dataset = DatasetBytes(source.second);
      if (dataset) return Fnv1a(*dataset) == received.fnv1a_hash;
      // Without a meta header length, the file must at least end with the sent dataset.
      return source.second.size() >= received.bytes &&
             Fnv1a(std::string_view(source.second).substr(source.second.size() - received.bytes)) ==
                 received.fnv1a_hash;
    });
    EXPECT_TRUE(equal) << received.sop_instance << " differs from its file";
    compared += equal;
  }
  EXPECT_EQ(compared, Number(summary, "successful_transfers"));
}

TEST_F(RealFilesTest, StorescpWithAllSyntaxesHasTheInstancesOfTheSummary) {
  const auto storescp = StartStorescp(folder_ / "stored", {"+xa", "+B", "--fork"});
  port_ = storescp->port();
  EXPECT_EQ(RunCommand(SendAll()), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectOneFateEach(summary);
  EXPECT_EQ(FilesBelow(storescp->folder()).size(), Number(summary, "successful_transfers"));
  EXPECT_GE(Number(summary, "successful_transfers") + Number(summary, "skipped"), kLeastForStorescp);
}

TEST_F(RealFilesTest, StorescpWithUncompressedSyntaxesGetsDecodedInstances) {
  const auto storescp = StartStorescp(folder_ / "stored", {"--fork"});
  port_ = storescp->port();
  EXPECT_EQ(RunCommand(SendAll()), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectOneFateEach(summary);
  const auto stored = FilesBelow(storescp->folder());
  EXPECT_EQ(stored.size(), Number(summary, "successful_transfers"));
  EXPECT_GE(Number(summary, "successful_transfers") + Number(summary, "skipped"), kLeastForStorescp);

  std::multimap<std::string, fs::path> sources;
  for (const fs::path& file : files_) sources.emplace(SopInstanceUid(file), file);
  for (const fs::path& file : stored) {
    SCOPED_TRACE(file);
    DcmFileFormat received;
    ASSERT_TRUE(received.loadFile(file.c_str()).good());
    EXPECT_FALSE(DcmXfer(received.getDataset()->getOriginalXfer()).isEncapsulated());
    const auto [begin, end] = sources.equal_range(SopInstanceUid(file));
    const bool equal = std::any_of(begin, end, [&](const auto& entry) {
      DcmFileFormat source;
      if (source.loadFile(entry.second.c_str()).bad()) return false;
      for (const DcmTagKey& tag : {DCM_SOPClassUID, DCM_StudyInstanceUID, DCM_PatientID, DCM_Rows, DCM_Columns}) {
        OFString sent, got;
        source.getDataset()->findAndGetOFString(tag, sent);
        received.getDataset()->findAndGetOFString(tag, got);
        if (sent != got) return false;
      }
      return true;
    });
    EXPECT_TRUE(equal) << "differs from its file";
  }
}

}  // namespace
}  // namespace dicom_sender
