// Against DCMTK's storescp and dcmqrscp: the stored instances equal the ones in the summary.
#include "tests/e2e/archives.h"
#include "tests/e2e/sender_fixture.h"
#include "tests/support/dicom_writer.h"

namespace dicom_sender {
namespace {

class IntegrationTest : public SenderTest {
 protected:
  void SetUp() override {
    for (const char* program : {"storescp", "dcmqrscp", "findscu", "dcmcrle", "dcmcjpeg", "dcmdump"}) {
      if (FindProgram(program).empty()) GTEST_SKIP() << program << " is not installed";
    }
  }

  void Storescp(const std::vector<std::string>& options) {
    archive_ = StartStorescp(folder_ / "stored", options);
    port_ = archive_->port();
  }
  void Dcmqrscp() {
    archive_ = StartDcmqrscp(folder_ / "archive");
    port_ = archive_->port();
  }

  void ExpectAllStored(std::uint64_t instances) {
    const auto summary = Summary();
    ExpectCountsAddUp(summary);
    EXPECT_EQ(Number(summary, "successful_transfers"), instances);
    EXPECT_EQ(FilesBelow(archive_->folder()).size(), instances);
  }

  // The file that storescp writes for this instance with +B: a new meta header and the dataset as received.
  void ExpectStoredBytes(const std::string& sop_instance_uid, const std::string& dataset) const {
    const auto suffix = "." + sop_instance_uid;
    for (const auto& file : FilesBelow(archive_->folder())) {
      if (!file.string().ends_with(suffix)) continue;
      EXPECT_TRUE(ReadFile(file).ends_with(dataset)) << file;
      return;
    }
    ADD_FAILURE() << "not stored: " << sop_instance_uid;
  }

  // Returns the number of matches that DCMTK's findscu gets at this level.
  std::uint64_t Find(const std::string& level, const std::vector<std::string>& keys) const {
    std::vector<std::string> command = {"findscu", "-S", "-aec", "TEST_SCP", "-k", "QueryRetrieveLevel=" + level};
    for (const std::string& key : keys) command.insert(command.end(), {"-k", key});
    command.insert(command.end(), {"127.0.0.1", std::to_string(port_)});
    const ProcessResult result = RunProcess(command, kRunTimeout, {"TCP_NODELAY=1"});
    EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << result.errors;
    const std::string text = result.output + result.errors;
    std::uint64_t matches = 0;
    for (auto at = text.find("Find Response:"); at != std::string::npos; at = text.find("Find Response:", at + 1)) {
      ++matches;
    }
    return matches;
  }

  std::unique_ptr<Archive> archive_;
};

TEST_F(IntegrationTest, StorescpAcceptsOneAssociation) {
  const auto instances = WriteExampleStudies(data(), 3, 10);
  Storescp({"+B"});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectAllStored(30);
  for (const auto& instance : instances) ExpectStoredBytes(instance.sop_instance_uid, ExampleDataset(instance));
}

// storescp serves only one association at a time, so the others wait.
TEST_F(IntegrationTest, StorescpWithoutForkAcceptsFourAssociations) {
  WriteExampleStudies(data(), 8, 10);
  Storescp({"+xa"});
  EXPECT_EQ(Run({"-t", "4"}), 0) << result_.output << result_.errors;
  ExpectAllStored(80);
  EXPECT_EQ(Number(Summary(), "associations"), 8U);
}

TEST_F(IntegrationTest, StorescpWithForkAcceptsFourAssociations) {
  WriteExampleStudies(data(), 8, 10, 200'000);
  Storescp({"--fork", "+xa"});
  EXPECT_EQ(Run({"-t", "4"}), 0) << result_.output << result_.errors;
  ExpectAllStored(80);
}

class CompressedFiles : public IntegrationTest {
 protected:
  // Uses DCMTK's encoders without loss, so that the SOP Instance UID does not change.
  std::string Compress(const std::string& encoder, int image) {
    ExampleInstance instance;
    instance.sop_instance_uid += "." + std::to_string(image);
    instance.pixel_bytes = 4096;
    const auto plain = folder_ / "plain.dcm";
    const auto compressed = data() / (encoder + ".dcm");
    WriteFile(plain, ExampleFile(instance));
    std::filesystem::create_directories(data());
    const ProcessResult result = RunProcess({encoder, plain, compressed}, kRunTimeout);
    EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << result.errors;
    uids_[compressed] = instance.sop_instance_uid;
    return compressed;
  }
  void SetUp() override {
    IntegrationTest::SetUp();
    if (IsSkipped()) return;
    Compress("dcmcrle", 1);
    Compress("dcmcjpeg", 2);
  }
  // The dataset begins after preamble, prefix, and meta header; group 0002 has a length element (PS3.10 7.1).
  static std::string DatasetOf(const std::string& file) {
    const auto byte = [&file](std::size_t i) { return static_cast<unsigned char>(file.at(i)); };
    const std::size_t length =
        byte(140) | byte(141) << 8 | byte(142) << 16 | static_cast<std::size_t>(byte(143)) << 24;
    return file.substr(144 + length);
  }

  std::map<std::string, std::string> uids_;  // by file
};

TEST_F(CompressedFiles, AreSentUnchangedIfAccepted) {
  Storescp({"+xa", "+B"});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectAllStored(2);
  for (const auto& [file, uid] : uids_) ExpectStoredBytes(uid, DatasetOf(ReadFile(file)));
}

TEST_F(CompressedFiles, AreDecodedIfNotAccepted) {
  Storescp({"+xe", "+B"});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectAllStored(2);
  // Uncompressed pixel data is the last element of these datasets.
  for (const auto& [file, uid] : uids_) ExpectStoredBytes(uid, std::string(4096, '\x2A'));
}

// PS3.5 7.1.1 requires even value lengths and PS3.8 annex E even PDVs; storescp aborts on odd ones.
class OddFiles : public IntegrationTest {
 protected:
  static std::string Text(std::string_view value) {
    return DicomWriter().Element(0x7FE1, 0x1001, "LO", value).bytes();
  }
  static std::string Sequence(const std::string& item) {
    const auto size = static_cast<std::uint32_t>(item.size());
    return DicomWriter().Header(0x7FE1, 0x1002, "SQ", size + 8).Item(size).Raw(item).bytes();
  }
  // Two frames of one fragment each, with a Basic Offset Table.
  static std::string Frames(std::string_view first, std::string_view second) {
    const auto size = [](std::string_view text) { return static_cast<std::uint32_t>(text.size()); };
    DicomWriter pixels;
    pixels.Header(0x7FE0, 0x0010, "OB", kUndefined).Item(8).Number(0, 4).Number(8 + size(first), 4);
    pixels.Item(size(first)).Raw(first).Item(size(second)).Raw(second);
    return pixels.EndSequence().bytes();
  }

  // The file, and the expected end of its dataset at the destination.
  void Add(const std::string& more, const std::string& expected, ExampleInstance instance = {}) {
    const std::string name = std::to_string(expected_.size() + 1);
    instance.sop_instance_uid += "." + name;
    std::string file = ExampleFile(instance), dataset = ExampleDataset(instance);
    if (instance.transfer_syntax_uid == kRle) {
      const std::size_t pixels = 12 + instance.pixel_bytes;
      file.resize(file.size() - pixels);
      dataset.resize(dataset.size() - pixels);
    }
    WriteFile(data() / (name + ".dcm"), file + more);
    expected_[instance.sop_instance_uid] = (more.empty() ? "" : dataset) + expected;
  }

  static constexpr std::string_view kRle = "1.2.840.10008.1.2.5";
  std::map<std::string, std::string> expected_;  // by SOP Instance UID
};

TEST_F(OddFiles, ArriveWithEvenLengths) {
  ExampleInstance odd_pixels{.pixel_bytes = 65};
  Add("", std::string(65, '\x2A') + '\0', odd_pixels);
  Add(Text("odd"), Text("odd "));
  Add(Sequence(Text("a")), Sequence(Text("a ")));
  const ExampleInstance rle{.transfer_syntax_uid = std::string(kRle)};
  Add(Frames("odd", "even"), Frames(std::string("odd\0", 4), "even"), rle);
  Storescp({"+xa", "+B"});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectAllStored(4);
  for (const auto& [uid, dataset] : expected_) ExpectStoredBytes(uid, dataset);
  for (const auto& file : FilesBelow(archive_->folder())) {
    const ProcessResult dump = RunProcess({"dcmdump", file}, kRunTimeout);
    EXPECT_EQ(dump.end, (ProcessEnd{0, 0})) << dump.errors;
    EXPECT_EQ(dump.errors, "") << "DCMTK warns of odd lengths";
  }
}

// A number of one byte cannot be padded. The other instances of its study arrive over the same association.
TEST_F(OddFiles, FailWithTheElementsNameIfTheyCannotBePadded) {
  Add(DicomWriter().Element(0x7FE1, 0x1001, "US", "x").bytes(), "");
  Add(Text("even"), Text("even"));
  Storescp({"+B"});
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  EXPECT_EQ(Number(summary, "successful_transfers"), 1U);
  EXPECT_EQ(Number(summary, "associations"), 1U);
  EXPECT_EQ(FailureOf(summary, expected_.begin()->first),
            "element (7FE1,1001): its length of 1 bytes is odd, and a number cannot be padded");
}

// The dataset has implicit VR and the meta header explicit VR.
TEST_F(OddFiles, AnImplicitDatasetThatBeginsWithTheMetaGroupArrives) {
  const ExampleInstance instance{.transfer_syntax_uid = "1.2.840.10008.1.2"};
  std::string file = ExampleFile(instance);
  file.resize(file.size() - ExampleDataset(instance).size());
  const std::string dataset = DicomWriter(DicomWriter::Form::kImplicitLittle)
                                  .Element(0x0002, 0x0013, "SH", "ABCD")
                                  .Uid(0x0008, 0x0016, instance.sop_class_uid)
                                  .Uid(0x0008, 0x0018, instance.sop_instance_uid)
                                  .Uid(0x0020, 0x000D, instance.study_uid)
                                  .bytes();
  WriteFile(data() / "implicit.dcm", file + dataset);
  Storescp({"+xi", "+B"});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  ExpectAllStored(1);
  ExpectStoredBytes(instance.sop_instance_uid, dataset);
}

// Uses one association at a time, because dcmqrscp loses images that arrive over several at once, from any sender.
TEST_F(IntegrationTest, DcmqrscpFindsTheSentInstances) {
  WriteExampleStudies(data(), 5, 8);
  Dcmqrscp();
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 40U);
  EXPECT_EQ(Find("STUDY", {"StudyInstanceUID"}), Summary()["studies_processed"].Size());
  std::uint64_t images = 0;
  for (int study = 1; study <= 5; ++study) {
    const std::string uid = "1.2.826.0.1.3680043.10.1400." + std::to_string(study);
    images += Find("IMAGE", {"StudyInstanceUID=" + uid, "SeriesInstanceUID=" + uid + ".9", "SOPInstanceUID"});
  }
  EXPECT_EQ(images, 40U);
}

TEST_F(IntegrationTest, EchoIsAnswered) {
  Dcmqrscp();
  EXPECT_EQ(
      RunCommand({DICOM_SENDER_PROGRAM, "--echo", "-a", "TEST_SCP", "-H", "127.0.0.1", "-p", std::to_string(port_)}),
      0)
      << result_.output << result_.errors;
}

TEST_F(IntegrationTest, AnAeTitleThatDcmqrscpDoesNotKnowIsRefused) {
  WriteExampleStudies(data(), 1, 2);
  Dcmqrscp();
  auto command = Command();
  *(std::find(command.begin(), command.end(), "-a") + 1) = "NOBODY";
  EXPECT_EQ(RunCommand(command), 3) << result_.output << result_.errors;
  EXPECT_NE(result_.errors.find("NOBODY"), std::string::npos) << result_.errors;
}

}  // namespace
}  // namespace dicom_sender
