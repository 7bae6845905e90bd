// Copies datasets with odd lengths into files with even lengths and reads them with DCMTK.
#include "dicom/transcode/padding.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temporary_folder.h"
#include "tests/unit/dicom/transcode/result.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

class PaddingTest : public testing::Test {
 protected:
  tl::expected<TranscodedDataset, std::string> Pad(const Bytes& dataset, std::string_view syntax = kExplicit,
                                                   const TranscodeOptions& options = {}) {
    const Bytes before(132, 7);
    Bytes file = before;
    file.insert(file.end(), dataset.begin(), dataset.end());
    WriteBytes(folder_ / "file", file);
    const UniqueFd fd(open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
    return PadToEvenLengths(fd.get(), before.size(), dataset.size(), syntax, options);
  }
  Bytes Padded(const Bytes& dataset, std::string_view syntax = kExplicit) {
    const auto padded = Pad(dataset, syntax);
    EXPECT_TRUE(padded) << padded.error();
    if (!padded) return {};
    const Bytes bytes = ReadBytes("/proc/self/fd/" + std::to_string(padded->fd.get()));
    EXPECT_EQ(bytes.size(), padded->size_bytes);
    return bytes;
  }

  TemporaryFolder folder_;
};

// Longer than a block, so that it is copied in several parts.
TEST_F(PaddingTest, OnlyLengthAndPaddingChange) {
  TestImage image = MakeImage({.rows = 999, .columns = 1001});
  ASSERT_EQ(image.pixels.size() % 2, 1U);
  const Bytes dataset = ImagePixelModule(image).Element(0x7FE0, 0x0010, "OB", AsText(image.pixels)).byte_vector();
  image.pixels.push_back(0);
  EXPECT_EQ(Padded(dataset),
            ImagePixelModule(image).Element(0x7FE0, 0x0010, "OB", AsText(image.pixels)).byte_vector());
}

TEST_F(PaddingTest, DcmtkReadsPaddedFiles) {
  const DicomWriter item = DicomWriter().Element(0x0008, 0x0104, "UN", "odd");
  const TestImage image = MakeImage({.rows = 3, .columns = 3});
  const Bytes dataset = StandardElements(image)
                            .Sequence(0x0040, 0x0260, item)
                            .Element(0x7FE0, 0x0010, "OB", AsText(image.pixels))
                            .byte_vector();
  WriteBytes(folder_ / "padded", Padded(dataset));
  DcmDataset read;
  ASSERT_TRUE(read.loadFile((folder_ / "padded").c_str(), EXS_LittleEndianExplicit).good());
  Bytes pixels = image.pixels;
  pixels.push_back(0);
  EXPECT_EQ(NativePixels(read), pixels);
  DcmItem* nested = nullptr;
  ASSERT_TRUE(read.findAndGetSequenceItem(DcmTagKey(0x0040, 0x0260), nested).good());
  EXPECT_EQ(nested->getLength(EXS_LittleEndianExplicit), 16U);
}

Bytes Implicit(std::uint8_t group, std::uint8_t element, std::string_view value) {
  Bytes bytes = {group, 0, element, 0, static_cast<std::uint8_t>(value.size()), 0, 0, 0};
  bytes.insert(bytes.end(), value.begin(), value.end());
  return bytes;
}

// The VRs of an implicit dataset come from DCMTK's dictionary.
TEST_F(PaddingTest, ImplicitVrIsPaddedByTheDictionary) {
  EXPECT_EQ(Padded(Implicit(0x10, 0x10, "Doe"), kImplicit), Implicit(0x10, 0x10, "Doe "));
  EXPECT_EQ(Padded(Implicit(0x08, 0x18, "1.2"), kImplicit), Implicit(0x08, 0x18, std::string_view("1.2\0", 4)));
  EXPECT_EQ(Padded(Implicit(0x09, 0x01, "abc"), kImplicit), Implicit(0x09, 0x01, std::string_view("abc\0", 4)));
  const auto number = Pad(Implicit(0x28, 0x10, "a"), kImplicit);
  ASSERT_FALSE(number);
  EXPECT_THAT(number.error(), HasSubstr("(0028,0010)"));
}

TEST_F(PaddingTest, TheResultIsLimitedAndItsFolderIsNamed) {
  const Bytes dataset = DicomWriter().Element(0x7FE0, 0x0010, "OB", std::string(1001, '\1')).byte_vector();
  const auto limited = Pad(dataset, kExplicit, {.output_bytes_max = 1000});
  ASSERT_FALSE(limited);
  EXPECT_THAT(limited.error(), HasSubstr("the limit of 1000 bytes"));
  const auto nowhere = Pad(dataset, kExplicit, {.temporary_directory = "/nonexistent"});
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error(), HasSubstr("/nonexistent"));
}

// Decoding to another transfer syntax also produces even lengths, including values that are copied from file to file.
TEST_F(PaddingTest, DecodedDatasetsHaveEvenLengths) {
  for (const int rows : {3, 301}) {
    const TestImage image = MakeImage({.rows = rows, .columns = 33});
    const Bytes dataset = StandardElements(image)
                              .Element(0x0009, 0x1001, "UN", std::string(4097, '\1'))
                              .Element(0x7FE0, 0x0010, "OB", AsText(image.pixels))
                              .byte_vector();
    for (const std::string_view target : {kExplicit, kImplicit, kBigEndian}) {
      const auto result = TranscodeBytes(File(kExplicit, dataset), target);
      ASSERT_TRUE(result) << result.error();
      EXPECT_EQ(result->bytes.size() % 2, 0U) << target;
      EXPECT_EQ(result->pixels(), image.pixels) << target;
    }
  }
}

}  // namespace
}  // namespace dicom_sender
