// Files from other programs.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcrledrg.h>
#include <dcmtk/dcmdata/dctk.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/dicom/transcode/result.h"

namespace dicom_sender {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(REAL_FILES) / "test_files";

class RealFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::is_directory(kFolder)) GTEST_SKIP() << kFolder << " is not there";
  }
};

std::vector<fs::path> AllFiles() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(REAL_FILES)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The refused files with their reasons. Every other file that DCMTK can open must be transcoded.
const std::map<std::string, std::string> kRefused = {
    {"JPEG2000-embedded-sequence-delimiter.dcm", "the dataset declares 256 x 1024 of 1"},  // SIZ is overwritten
    {"rtdose_expb.dcm", "no agreed order of bytes"},
    {"rtdose_expb_1frame.dcm", "no agreed order of bytes"},
};

TEST_F(RealFilesTest, EveryFileIsDecodedOrHasAReason) {
  int decoded = 0;
  for (const fs::path& path : AllFiles()) {
    SCOPED_TRACE(path);
    const auto result = TranscodeAndRead(path);
    if (const auto refused = kRefused.find(path.filename()); refused != kRefused.end()) {
      ASSERT_FALSE(result);
      EXPECT_THAT(result.error(), testing::HasSubstr(refused->second));
      continue;
    }
    DcmFileFormat file;
    const bool readable = file.loadFile(path.c_str()).good() && file.getDataset()->card() > 0;
    EXPECT_EQ(result.has_value(), readable) << (result ? "" : result.error());
    decoded += result.has_value();
  }
  EXPECT_GT(decoded, 150);
}

// DCMTK decodes a whole file in memory, while the transcoder decodes frame by frame. The pixels must be equal.
TEST_F(RealFilesTest, PixelsMatchDcmtk) {
  DcmRLEDecoderRegistration::registerCodecs();
  int compared = 0;
  for (const fs::path& path : AllFiles()) {
    SCOPED_TRACE(path);
    const auto result = TranscodeAndRead(path);
    DcmFileFormat file;
    if (!result || file.loadFile(path.c_str()).bad()) continue;
    DcmDataset& dataset = *file.getDataset();
    if (!dataset.tagExists(DCM_PixelData)) continue;
    const bool was_compressed = DcmXfer(dataset.getOriginalXfer()).isEncapsulated();
    if (dataset.chooseRepresentation(EXS_LittleEndianExplicit, nullptr).bad()) continue;
    EXPECT_EQ(NativePixels(*result->dataset), NativePixels(dataset));
    for (const auto& [group, element] : std::vector<std::pair<std::uint16_t, std::uint16_t>>{{0x0008, 0x0018},
                                                                                             {0x0028, 0x0002},
                                                                                             {0x0028, 0x0004},
                                                                                             {0x0028, 0x0006},
                                                                                             {0x0028, 0x0008},
                                                                                             {0x0028, 0x0010},
                                                                                             {0x0028, 0x0011},
                                                                                             {0x0028, 0x0100},
                                                                                             {0x0028, 0x0101},
                                                                                             {0x0028, 0x0102},
                                                                                             {0x0028, 0x0103},
                                                                                             {0x0028, 0x2110}}) {
      EXPECT_EQ(result->text(group, element), TextOf(dataset, group, element)) << std::hex << group << ',' << element;
    }
    compared += was_compressed;
  }
  EXPECT_GE(compared, 30);
}

TEST_F(RealFilesTest, Jpeg2000MatchesItsUncompressedCounterpart) {
  const auto compressed = TranscodeAndRead(kFolder / "MR_small_jp2klossless.dcm");
  const auto native = TranscodeAndRead(kFolder / "MR_small.dcm");
  ASSERT_TRUE(compressed && native);
  EXPECT_EQ(compressed->pixels(), native->pixels());
  EXPECT_EQ(compressed->pixels().size(), 64u * 64 * 2);
}

// The codestream declares unsigned samples, the dataset signed ones: a CT image with padding value -2000.
TEST_F(RealFilesTest, ASignedImageInAnUnsignedCodestreamStaysSigned) {
  const auto result = TranscodeAndRead(kFolder / "J2K_pixelrep_mismatch.dcm");
  ASSERT_TRUE(result) << result.error();
  const Bytes pixels = result->pixels();
  ASSERT_EQ(pixels.size(), 512u * 512 * 2);
  EXPECT_EQ(static_cast<std::int16_t>(pixels[0] | pixels[1] << 8), -2000);
}

TEST_F(RealFilesTest, ColorJpeg2000BecomesRgb) {
  const auto gdcm = TranscodeAndRead(kFolder / "GDCMJ2K_TextGBR.dcm");
  const auto fragments = TranscodeAndRead(kFolder / "examples_jpeg2k.dcm");  // one frame in three fragments
  ASSERT_TRUE(gdcm && fragments);
  EXPECT_EQ(gdcm->text(0x0028, 0x0004), "RGB");
  EXPECT_EQ(fragments->text(0x0028, 0x0004), "RGB");
  EXPECT_EQ(fragments->pixels().size(), 480u * 640 * 3);
  EXPECT_EQ(gdcm->pixels().size(), 400u * 400 * 3);
}

}  // namespace
}  // namespace dicom_sender
