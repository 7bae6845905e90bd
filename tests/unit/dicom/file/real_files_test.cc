// Files from other programs, compared with DCMTK's results.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dctk.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <vector>

#include "dicom/file/file_header.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

namespace fs = std::filesystem;

// DCMTK reads these files, but they contain no instance.
bool IsDicomDir(const fs::path& path) { return path.filename().string().rfind("DICOMDIR", 0) == 0; }

// Files that are not DICOM, but that DCMTK reads as truncated datasets in implicit VR. All other files that it cannot
// read are broken DICOM files.
const std::set<std::string> kNoDicom = {"FileInfo.txt", "LICENSE",  "README",     "README.md",
                                        "README.txt",   "zipMR.gz", "no_meta.dcm"};  // its first byte is missing

std::vector<fs::path> AllFiles() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(REAL_FILES)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Reads the value as bytes, because DCMTK has no text for VR UN.
std::string UidOf(DcmDataset& dataset, const DcmTagKey& tag) {
  DcmElement* element = nullptr;
  if (dataset.findAndGetElement(tag, element).bad()) return {};
  OFString text;
  Uint8* bytes = nullptr;
  std::string uid;
  if (element->getVR() == EVR_UN && element->getUint8Array(bytes).good() && bytes != nullptr) {
    uid.assign(reinterpret_cast<const char*>(bytes), element->getLength());
  } else if (element->getOFString(text, 0).good()) {
    uid.assign(text.c_str(), text.size());
  }
  while (!uid.empty() && (uid.back() == '\0' || uid.back() == ' ')) uid.pop_back();
  return uid;
}

std::string Dump(DcmDataset& dataset) {
  std::ostringstream out;
  dataset.print(out);
  return out.str();
}

// Returns the dataset as a receiver reads it: the file's bytes from the offset on, in the transfer syntax of the
// header.
std::string DumpFromOffset(const fs::path& path, const FileHeader& header) {
  std::ifstream in(path, std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  DcmInputBufferStream stream;
  stream.setBuffer(file.data() + header.dataset_offset,
                   static_cast<offile_off_t>(file.size() - header.dataset_offset));
  stream.setEos();
  DcmDataset dataset;
  dataset.transferInit();
  const E_TransferSyntax syntax = DcmXfer(header.transfer_syntax_uid.c_str()).getXfer();
  const OFCondition read = dataset.read(stream, syntax, EGL_noChange);
  dataset.transferEnd();
  return read.good() ? Dump(dataset) : read.text();
}

class RealHeadersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::is_directory(REAL_FILES)) GTEST_SKIP() << REAL_FILES << " is not there";
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
  }
};

TEST_F(RealHeadersTest, AreReadAsDcmtkReadsThem) {
  int good = 0, broken = 0;
  for (const fs::path& path : AllFiles()) {
    SCOPED_TRACE(path);
    const auto result = ReadFileHeader(path);
    DcmFileFormat file;
    const bool is_readable = file.loadFile(path.c_str()).good();
    if (IsDicomDir(path)) {
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().problem, HeaderProblem::kDicomDir);
      continue;
    }
    ASSERT_EQ(result.has_value(), is_readable) << (result ? "" : result.error().reason);
    if (!result) {
      EXPECT_NE(IsBrokenDicom(result.error().problem), kNoDicom.count(path.filename()) == 1) << result.error().reason;
      broken += IsBrokenDicom(result.error().problem);
      continue;
    }
    DcmDataset& dataset = *file.getDataset();
    EXPECT_EQ(result->sop_class_uid, UidOf(dataset, DCM_SOPClassUID));
    EXPECT_EQ(result->sop_instance_uid, UidOf(dataset, DCM_SOPInstanceUID));
    EXPECT_EQ(result->study_instance_uid, UidOf(dataset, DCM_StudyInstanceUID));
    EXPECT_EQ(result->transfer_syntax_uid, DcmXfer(dataset.getOriginalXfer()).getXferID());
    EXPECT_EQ(result->identity.size_bytes, fs::file_size(path));
    ++good;
  }
  EXPECT_GE(good, 180);
  EXPECT_EQ(broken, 3);
}

TEST_F(RealHeadersTest, TheDatasetBeginsAtTheOffset) {
  int compared = 0;
  for (const fs::path& path : AllFiles()) {
    const auto result = ReadFileHeader(path);
    if (!result) continue;
    SCOPED_TRACE(path);
    DcmFileFormat file;
    ASSERT_TRUE(file.loadFile(path.c_str()).good());
    ASSERT_TRUE(file.loadAllDataIntoMemory().good());  // a dump only shows values that are in memory
    EXPECT_TRUE(DumpFromOffset(path, *result) == Dump(*file.getDataset()));
    ++compared;
  }
  EXPECT_GE(compared, 180);
}

// Truncates each file within the last tenth, which is mostly pixel data. The result must not be good unless DCMTK
// also sees the end of an element there.
TEST_F(RealHeadersTest, TruncatedFilesAreReadAsDcmtkReadsThem) {
  const TemporaryFolder folder;
  const fs::path cut = folder / "cut";
  int found = 0;
  for (const fs::path& path : AllFiles()) {
    if (!ReadFileHeader(path) || fs::file_size(path) > 1'000'000) continue;
    SCOPED_TRACE(path);
    const auto size = fs::file_size(path);
    for (const auto bytes : {size - 1, size - size / 20, size - size / 10}) {
      fs::copy_file(path, cut, fs::copy_options::overwrite_existing);
      fs::resize_file(cut, bytes);
      DcmFileFormat file;
      const auto result = ReadFileHeader(cut);
      EXPECT_EQ(result.has_value(), file.loadFile(cut.c_str()).good()) << bytes;
      found += !result && result.error().problem == HeaderProblem::kTruncated;
    }
  }
  EXPECT_GE(found, 400);
}

}  // namespace
}  // namespace dicom_sender
