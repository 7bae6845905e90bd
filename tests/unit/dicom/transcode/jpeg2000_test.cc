// JPEG 2000: images that OpenJPEG encoded are decoded to the original pixels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dicom/transcode/jpeg2000_encoder.h"
#include "tests/unit/dicom/transcode/result.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

const TestImage kGray8{};
const TestImage kGray12{.bits_allocated = 16, .bits_stored = 12};
const TestImage kSigned16{.bits_allocated = 16, .bits_stored = 16, .is_signed = true};
const TestImage kSigned12{.bits_allocated = 16, .bits_stored = 12, .is_signed = true};
const TestImage kColor{.samples = 3, .photometric = "YBR_RCT"};

Bytes SingleFrame(const TestImage& image, const Jpeg2000Options& options = {}) {
  return EncapsulatedFile(image, kJpeg2000Lossless, {EncodeJpeg2000(image, 0, options)});
}

Bytes Part(const Bytes& whole, std::size_t from, std::size_t to) {
  return Bytes(whole.begin() + static_cast<std::ptrdiff_t>(from), whole.begin() + static_cast<std::ptrdiff_t>(to));
}

class Jpeg2000Shapes : public testing::TestWithParam<TestImage> {};

TEST_P(Jpeg2000Shapes, SurviveARoundTrip) {
  const TestImage image = MakeImage(GetParam());
  const auto result = TranscodeBytes(SingleFrame(image));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_EQ(result->text(0x0028, 0x0100), std::to_string(image.bits_allocated));
  EXPECT_EQ(result->text(0x0028, 0x0101), std::to_string(image.bits_stored));
  EXPECT_EQ(result->text(0x0028, 0x0102), std::to_string(image.bits_stored - 1));
  EXPECT_EQ(result->text(0x0028, 0x2110), "");  // the 5-3 wavelet is lossless
}

INSTANTIATE_TEST_SUITE_P(All, Jpeg2000Shapes, testing::Values(kGray8, kGray12, kSigned16, kSigned12, kColor));

TEST(Jpeg2000Test, ColorIsDecodedToRgbByPixel) {
  TestImage image = MakeImage(kColor);
  image.color_by_plane = true;  // this attribute has no meaning for a codestream
  const auto result = TranscodeBytes(SingleFrame(image));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_EQ(result->text(0x0028, 0x0004), "RGB");
  EXPECT_EQ(result->text(0x0028, 0x0006), "0");
}

TEST(Jpeg2000Test, ColorWithoutComponentTransformKeepsItsInterpretation) {
  TestImage image = MakeImage(kColor);
  image.photometric = "YBR_FULL";
  const auto result = TranscodeBytes(SingleFrame(image, {.component_transform = false}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_EQ(result->text(0x0028, 0x0004), "YBR_FULL");
}

TEST(Jpeg2000Test, LossyStreamsAreMarkedAndApproximate) {
  const TestImage image = MakeImage({.rows = 64, .columns = 64});
  const auto result =
      TranscodeBytes(EncapsulatedFile(image, kJpeg2000Any, {EncodeJpeg2000(image, 0, {.irreversible = true})}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->text(0x0028, 0x2110), "01");
  const Bytes pixels = result->pixels();
  ASSERT_EQ(pixels.size(), image.pixels.size());
  int difference = 0;
  for (std::size_t i = 0; i < pixels.size(); ++i) difference += std::abs(pixels[i] - image.pixels[i]);
  EXPECT_LT(difference, 12 * static_cast<int>(pixels.size()));
}

// Encoders copy bits, so the dataset defines the sign (see jpeg2000.h).
TEST(Jpeg2000Test, PixelRepresentationOverridesTheCodestream) {
  for (const TestImage& shape : {kSigned12, kGray12}) {
    const TestImage image = MakeImage(shape);
    const auto result = TranscodeBytes(SingleFrame(image, {.codestream_signed = !image.is_signed}));
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->pixels(), image.pixels);
    EXPECT_EQ(result->text(0x0028, 0x0103), std::to_string(image.is_signed));
  }
}

TEST(Jpeg2000Test, BitsStoredIsNoMoreThanTheCodestreamHas) {
  TestImage image = MakeImage(kGray12);
  const Bytes stream = EncodeJpeg2000(image, 0);
  image.bits_stored = 16;
  const auto result = TranscodeBytes(EncapsulatedFile(image, kJpeg2000Lossless, {stream}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_EQ(result->text(0x0028, 0x0101), "12");
  EXPECT_EQ(result->text(0x0028, 0x0102), "11");
}

TEST(Jpeg2000Test, MoreBitsThanTheDatasetAllocatesIncreaseBitsAllocated) {
  const TestImage image = MakeImage(kGray12);
  TestImage declared = image;
  declared.bits_allocated = declared.bits_stored = 8;
  const auto result = TranscodeBytes(EncapsulatedFile(declared, kJpeg2000Lossless, {EncodeJpeg2000(image, 0)}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_EQ(result->text(0x0028, 0x0100), "16");
  EXPECT_EQ(result->text(0x0028, 0x0101), "12");
}

TEST(Jpeg2000Test, FewerBitsThanTheDatasetAllocatesAreWidened) {
  TestImage image = MakeImage(kGray8);
  const Bytes stream = EncodeJpeg2000(image, 0);
  TestImage declared = image;
  declared.bits_allocated = 16;
  const auto result = TranscodeBytes(EncapsulatedFile(declared, kJpeg2000Lossless, {stream}));
  ASSERT_TRUE(result) << result.error();
  Bytes wide;
  for (const std::uint8_t sample : image.pixels) wide.insert(wide.end(), {sample, 0});
  EXPECT_EQ(result->pixels(), wide);
}

TEST(Jpeg2000Test, Jp2FilesAreDecoded) {
  for (const TestImage& shape : {kGray8, kColor}) {
    const TestImage image = MakeImage(shape);
    const auto result = TranscodeBytes(SingleFrame(image, {.jp2_file = true}));
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->pixels(), image.pixels);
  }
}

// Three frames in 2, 1, and 3 fragments.
struct Fragmented {
  TestImage image;
  std::vector<Bytes> fragments;
  std::vector<std::uint32_t> offsets;
};

Fragmented MakeFragmented() {
  Fragmented made{
      .image = MakeImage({.frames = 3, .bits_allocated = 16, .bits_stored = 12}), .fragments = {}, .offsets = {}};
  const std::vector<std::vector<std::size_t>> cuts = {{40}, {}, {30, 60}};
  std::uint32_t offset = 0;
  for (int frame = 0; frame < 3; ++frame) {
    const Bytes stream = EncodeJpeg2000(made.image, frame);
    made.offsets.push_back(offset);
    std::vector<std::size_t> bounds = {0};
    bounds.insert(bounds.end(), cuts[static_cast<std::size_t>(frame)].begin(),
                  cuts[static_cast<std::size_t>(frame)].end());
    bounds.push_back(stream.size());
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
      made.fragments.push_back(Part(stream, bounds[i], bounds[i + 1]));
      offset += static_cast<std::uint32_t>(8 + made.fragments.back().size() + made.fragments.back().size() % 2);
    }
  }
  return made;
}

TEST(Jpeg2000Test, FragmentsAreJoinedByTheOffsetTable) {
  const Fragmented made = MakeFragmented();
  const auto result =
      TranscodeBytes(EncapsulatedFile(made.image, kJpeg2000Lossless, made.fragments, OffsetTable(made.offsets)));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), made.image.pixels);
}

TEST(Jpeg2000Test, FragmentsAreJoinedByTheirFirstBytesWithoutAnOffsetTable) {
  const Fragmented made = MakeFragmented();
  const auto result = TranscodeBytes(EncapsulatedFile(made.image, kJpeg2000Lossless, made.fragments));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), made.image.pixels);
}

TEST(Jpeg2000Test, AWrongOffsetTableIsIgnored) {
  Fragmented made = MakeFragmented();
  made.offsets[1] += 2;
  const auto result =
      TranscodeBytes(EncapsulatedFile(made.image, kJpeg2000Lossless, made.fragments, OffsetTable(made.offsets)));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), made.image.pixels);
}

TEST(Jpeg2000Test, ASingleFrameMayHaveManyFragments) {
  const TestImage image = MakeImage(kGray8);
  const Bytes stream = EncodeJpeg2000(image, 0);
  const auto result = TranscodeBytes(EncapsulatedFile(
      image, kJpeg2000Lossless, {Part(stream, 0, 20), Part(stream, 20, 50), Part(stream, 50, stream.size())}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
}

TEST(Jpeg2000Test, FramesBeyondNumberOfFramesAreNotDropped) {
  const TestImage two = MakeImage({.frames = 2});
  TestImage declared = two;
  declared.frames = 1;
  const auto result =
      TranscodeBytes(EncapsulatedFile(declared, kJpeg2000Lossless, {EncodeJpeg2000(two, 0), EncodeJpeg2000(two, 1)}));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error(), HasSubstr("one frame, but its fragments hold several"));
}

TEST(Jpeg2000Test, FramesOfDifferentFormatsAreRefused) {
  const TestImage image = MakeImage({.frames = 2, .bits_allocated = 16, .bits_stored = 16});
  const auto result = TranscodeBytes(EncapsulatedFile(
      image, kJpeg2000Lossless, {EncodeJpeg2000(image, 0), EncodeJpeg2000(image, 1, {.precision = 12})}));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error(), HasSubstr("frame 2 has another format"));
}

TEST(Jpeg2000Test, ContradictionsAreRefusedWithAReason) {
  const TestImage image = MakeImage(kGray8);
  const Bytes stream = EncodeJpeg2000(image, 0);
  const auto reason = [&](const TestImage& declared, const Bytes& frame) {
    const auto result = TranscodeBytes(EncapsulatedFile(declared, kJpeg2000Lossless, {frame}));
    return result ? std::string("decoded") : result.error();
  };
  TestImage taller = image;
  taller.rows += 1;
  EXPECT_THAT(reason(taller, stream), HasSubstr("17 x 13 pixels of 1 components, the dataset declares 17 x 14 of 1"));
  TestImage color = image;
  color.samples = 3;
  color.photometric = "RGB";
  EXPECT_THAT(reason(color, stream), HasSubstr("of 1 components"));
  color.photometric = "YBR_FULL_422";
  EXPECT_THAT(reason(color, EncodeJpeg2000(MakeImage(kColor), 0)), HasSubstr("subsampled"));
  TestImage wide = image;
  wide.bits_allocated = 32;
  EXPECT_THAT(reason(wide, stream), HasSubstr("more than 16 bits"));
  EXPECT_THAT(reason(image, Part(stream, 0, stream.size() / 2)), HasSubstr("cannot be decoded"));
  EXPECT_THAT(reason(image, Bytes(100, 0)), HasSubstr("no valid header"));
  Bytes many_tiles =
      stream;  // XTsiz, YTsiz: one pixel each, in an image that is announced as large as it is declared
  TestImage large = image;
  large.rows = large.columns = 4096;
  for (const std::size_t at : {8u, 12u}) many_tiles[at + 2] = 16, many_tiles[at + 3] = 0;
  for (const std::size_t at : {24u, 28u}) many_tiles[at + 2] = 0, many_tiles[at + 3] = 1;
  EXPECT_THAT(reason(large, many_tiles), HasSubstr("more than 16384 tiles"));
}

}  // namespace
}  // namespace dicom_sender
