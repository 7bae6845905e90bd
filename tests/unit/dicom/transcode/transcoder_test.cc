// Tests the transcoder with images that are written byte by byte and with images that DCMTK's encoders compressed.
#include "dicom/transcode/transcoder.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/support/temporary_folder.h"
#include "tests/unit/dicom/transcode/compressed_file.h"
#include "tests/unit/dicom/transcode/result.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

const TestImage kGray8{};
const TestImage kGray12{.bits_allocated = 16, .bits_stored = 12};
const TestImage kSigned16{.bits_allocated = 16, .bits_stored = 16, .is_signed = true};
const TestImage kColor{.samples = 3, .photometric = "RGB"};
const TestImage kColorPlanes{.samples = 3, .color_by_plane = true, .photometric = "RGB"};
const TestImage kFrames{.frames = 3};  // 221 bytes per frame, so the sum is odd
const TestImage kColorFrames{.samples = 3, .frames = 2, .photometric = "RGB"};

void ExpectSame(const tl::expected<Result, std::string>& result, const TestImage& image) {
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_EQ(result->text(0x0008, 0x0018), kSopInstance);
  EXPECT_EQ(result->text(0x0020, 0x0020), "L\\P");
  EXPECT_EQ(result->text(0x0028, 0x0004), image.photometric);
  EXPECT_EQ(result->text(0x0028, 0x0100), std::to_string(image.bits_allocated));
  EXPECT_EQ(result->text(0x0028, 0x0101), std::to_string(image.bits_stored));
  EXPECT_EQ(result->text(0x0028, 0x0103), std::to_string(image.is_signed));
  EXPECT_EQ(result->text(0x0028, 0x2110), "");
}

Bytes Tail(const Bytes& bytes, std::size_t count) {
  return Bytes(bytes.end() - static_cast<std::ptrdiff_t>(std::min(count, bytes.size())), bytes.end());
}

struct LosslessCase {
  std::string_view syntax;
  TestImage image;
};

class LosslessTest : public testing::TestWithParam<LosslessCase> {};

TEST_P(LosslessTest, PixelsAreExactInEveryTargetSyntax) {
  const TestImage image = MakeImage(GetParam().image);
  const Compressed file(image, GetParam().syntax);
  for (const std::string_view target : {kImplicit, kExplicit, kBigEndian}) {
    SCOPED_TRACE(target);
    ExpectSame(TranscodeAndRead(file.path(), target), image);
  }
}

std::vector<LosslessCase> LosslessCases() {
  std::vector<LosslessCase> cases;
  for (const std::string_view syntax :
       {kImplicit, kExplicit, kBigEndian, kDeflate, kJpegLossless, kJpegLsLossless, kRleLossless}) {
    for (const TestImage& image : {kGray8, kGray12, kSigned16, kColor, kFrames, kColorFrames})
      cases.push_back({syntax, image});
  }
  cases.push_back({"1.2.840.10008.1.2.4.57", kGray12});
  cases.push_back({kRleLossless, kColorPlanes});
  cases.push_back({kExplicit, kColorPlanes});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, LosslessTest, testing::ValuesIn(LosslessCases()));

TEST(TranscoderTest, NativePixelsAreEncodedByteForByte) {
  const TestImage image = MakeImage({.rows = 2, .columns = 3, .bits_allocated = 16, .bits_stored = 12});
  const Bytes file = NativeFile(image);
  const auto same = TranscodeBytes(file, kExplicit);
  ASSERT_TRUE(same) << same.error();
  EXPECT_EQ(same->bytes, NativeDataset(image));
  const auto big = TranscodeBytes(file, kBigEndian);
  ASSERT_TRUE(big) << big.error();
  Bytes tail = {0x7F, 0xE0, 0x00, 0x10, 'O', 'W', 0, 0, 0, 0, 0, 12};
  for (std::size_t i = 0; i < image.pixels.size(); i += 2) {
    tail.insert(tail.end(), {image.pixels[i + 1], image.pixels[i]});
  }
  ASSERT_GT(big->bytes.size(), tail.size());
  EXPECT_EQ(Tail(big->bytes, tail.size()), tail);
}

TEST(TranscoderTest, DecodedPixelsAreEncodedByteForByte) {
  const TestImage words = MakeImage({.rows = 2, .columns = 3, .bits_allocated = 16, .bits_stored = 12});
  const TestImage bytes = MakeImage({.rows = 1, .columns = 3});
  const auto tail_of = [](const TestImage& image, std::string_view target, std::size_t count) {
    const auto result = TranscodeAndRead(Compressed(image, kRleLossless).path(), target);
    return Tail(result->bytes, count);
  };
  Bytes expected = {0xE0, 0x7F, 0x10, 0x00, 'O', 'W', 0, 0, 12, 0, 0, 0};
  expected.insert(expected.end(), words.pixels.begin(), words.pixels.end());
  EXPECT_EQ(tail_of(words, kExplicit, expected.size()), expected);
  expected.erase(expected.begin() + 4, expected.begin() + 8);
  EXPECT_EQ(tail_of(words, kImplicit, expected.size()), expected);
  const Bytes& p = words.pixels;
  expected = {0x7F, 0xE0, 0x00, 0x10, 'O',  'W',  0,    0,    0,    0,    0,     12,
              p[1], p[0], p[3], p[2], p[5], p[4], p[7], p[6], p[9], p[8], p[11], p[10]};
  EXPECT_EQ(tail_of(words, kBigEndian, expected.size()), expected);
  expected = {0x7F, 0xE0, 0x00, 0x10, 'O', 'B', 0, 0, 0, 0, 0, 4, bytes.pixels[0], bytes.pixels[1], bytes.pixels[2],
              0};
  EXPECT_EQ(tail_of(bytes, kBigEndian, expected.size()), expected);
}

// Returns an RLE stream with one segment (PS3.5 annex G).
Bytes RleStream(const Bytes& segment) {
  Bytes stream(64, 0);
  stream[0] = 1;
  stream[4] = 64;
  stream.insert(stream.end(), segment.begin(), segment.end());
  return stream;
}

// PS3.5 G.3.2: n copies n + 1 bytes literally, n > 128 repeats the next byte 257 - n times, and 128 does nothing.
// Bytes after the last pixel are padding.
TEST(TranscoderTest, RleRunsFollowTheStandard) {
  TestImage image{.rows = 2, .columns = 5};
  image.pixels = {1, 2, 3, 9, 9, 9, 9, 9, 9, 4};
  const auto result =
      TranscodeBytes(EncapsulatedFile(image, kRleLossless, {RleStream({2, 1, 2, 3, 128, 251, 9, 0, 4, 0, 77})}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
}

// The beginning of an RLE frame cannot be detected, so only the table tells which fragments belong together.
TEST(TranscoderTest, TheOffsetTableCountsItemHeaders) {
  TestImage image{.rows = 1, .columns = 2, .frames = 2};
  image.pixels = {1, 2, 3, 4};
  const Bytes first = RleStream({1, 1, 2, 0}), second = RleStream({1, 3, 4, 0});
  const std::vector<Bytes> fragments = {first, Bytes(second.begin(), second.begin() + 10),
                                        Bytes(second.begin() + 10, second.end())};
  const auto result = TranscodeBytes(EncapsulatedFile(image, kRleLossless, fragments, OffsetTable({0, 76})));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_FALSE(TranscodeBytes(EncapsulatedFile(image, kRleLossless, fragments, OffsetTable({0, 68}))));
}

TEST(TranscoderTest, JpegBaselineBecomesRgbAndIsMarkedLossy) {
  const TestImage image = MakeImage({.rows = 32, .columns = 32, .samples = 3, .photometric = "RGB"});
  const Compressed file(image, kJpegBaseline);
  DcmFileFormat compressed;
  ASSERT_TRUE(compressed.loadFile(file.path().c_str()).good());
  ASSERT_THAT(TextOf(*compressed.getDataset(), 0x0028, 0x0004), testing::StartsWith("YBR_FULL"));
  const std::string uid = TextOf(*compressed.getDataset(), 0x0008, 0x0018);  // the UID that the encoder chose
  (void)compressed.getDataset()->findAndDeleteElement(DCM_LossyImageCompression);
  ASSERT_TRUE(compressed.saveFile(file.path().c_str()).good());
  const auto result = TranscodeAndRead(file.path());
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->text(0x0028, 0x0004), "RGB");
  EXPECT_EQ(result->text(0x0028, 0x0006), "0");
  EXPECT_EQ(result->text(0x0028, 0x2110), "01");
  EXPECT_EQ(result->text(0x0008, 0x0018), uid);
  ASSERT_TRUE(compressed.getDataset()->chooseRepresentation(EXS_LittleEndianExplicit, nullptr).good());
  EXPECT_EQ(result->pixels(), NativePixels(*compressed.getDataset()));
}

TEST(TranscoderTest, JpegLsNearLosslessIsMarkedLossyAndNear) {
  const TestImage image = MakeImage(kGray12);
  const auto result = TranscodeAndRead(Compressed(image, kJpegLsLossy).path());
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->text(0x0028, 0x2110), "01");
  const Bytes pixels = result->pixels();
  ASSERT_EQ(pixels.size(), image.pixels.size());
  EXPECT_NE(pixels, image.pixels);
  for (std::size_t i = 0; i < pixels.size(); i += 2) {
    const int out = pixels[i] | pixels[i + 1] << 8, in = image.pixels[i] | image.pixels[i + 1] << 8;
    ASSERT_LE(std::abs(out - in), 3) << i / 2;  // the encoder's limit is three
  }
}

// JPEG streams with 8 bits for samples that take 16 bits: DCMTK's codec decodes to bytes.
TEST(TranscoderTest, NarrowJpegStreamsAreWidened) {
  for (const std::string_view syntax : {kJpegLossless, kJpegLsLossless}) {
    for (const bool is_signed : {false, true}) {
      const TestImage image = MakeImage({.is_signed = is_signed});
      const Compressed file(image, syntax);
      DcmFileFormat compressed;
      ASSERT_TRUE(compressed.loadFile(file.path().c_str()).good());
      (void)compressed.getDataset()->putAndInsertUint16(DCM_BitsAllocated, 16);
      ASSERT_TRUE(compressed.saveFile(file.path().c_str()).good());
      const auto result = TranscodeAndRead(file.path());
      ASSERT_TRUE(result) << result.error();
      Bytes wide;
      for (const std::uint8_t sample : image.pixels) {
        wide.insert(wide.end(), {sample, static_cast<std::uint8_t>(is_signed && sample > 127 ? 0xFF : 0)});
      }
      EXPECT_EQ(result->pixels(), wide);
    }
  }
}

// One frame, compressed by DCMTK's RLE encoder.
Bytes RleFrame(const TestImage& image) {
  const Compressed file(image, kRleLossless);
  DcmFileFormat compressed;
  DcmElement* pixels = nullptr;
  DcmPixelSequence* sequence = nullptr;
  DcmPixelItem* fragment = nullptr;
  Uint8* raw = nullptr;
  if (compressed.loadFile(file.path().c_str()).bad()) return {};
  (void)compressed.getDataset()->findAndGetElement(DCM_PixelData, pixels);
  (void)dynamic_cast<DcmPixelData&>(*pixels).getEncapsulatedRepresentation(EXS_RLELossless, nullptr, sequence);
  (void)sequence->getItem(fragment, 1);
  (void)fragment->getUint8Array(raw);
  return Bytes(raw, raw + fragment->getLength());
}

TEST(TranscoderTest, IconsAreDecodedToo) {
  const TestImage image = MakeImage(kGray8), icon = MakeImage(kSigned16);
  DicomWriter dataset = StandardElements(image);
  DicomWriter item = ImagePixelModule(icon);
  item.Encapsulated({RleFrame(icon)});
  dataset.Sequence(0x0088, 0x0200, item).Encapsulated({RleFrame(image)});
  for (const std::string_view target : {kImplicit, kExplicit, kBigEndian}) {
    const auto result = TranscodeBytes(File(kRleLossless, dataset.byte_vector()), target);
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->pixels(), image.pixels);
    DcmItem* decoded = nullptr;
    ASSERT_TRUE(result->dataset->findAndGetSequenceItem(DCM_IconImageSequence, decoded, 0).good());
    EXPECT_EQ(NativePixels(*decoded), icon.pixels);
  }
}

TEST(TranscoderReasonsTest, IconsOf32BitsDoNotBecomeBigEndian) {
  const TestImage image = MakeImage(kGray8);
  Bytes stream(64, 0);
  stream[0] = 4;
  for (std::uint8_t i = 0; i < 4; ++i) {  // one pixel with one segment per byte
    stream[4 + 4 * i] = static_cast<std::uint8_t>(64 + 2 * i);
    stream.insert(stream.end(), {0, i});
  }
  DicomWriter item =
      ImagePixelModule({.rows = 1, .columns = 1, .bits_allocated = 32, .bits_stored = 32}).Encapsulated({stream});
  DicomWriter dataset = StandardElements(image);
  dataset.Sequence(0x0088, 0x0200, item).Encapsulated({RleFrame(image)});
  EXPECT_THAT(TranscodeBytes(File(kRleLossless, dataset.byte_vector()), kBigEndian).error(),
              HasSubstr("no agreed order of bytes"));
  EXPECT_TRUE(TranscodeBytes(File(kRleLossless, dataset.byte_vector())));
}

TEST(TranscoderTest, ElementsAfterThePixelDataAreKept) {
  const TestImage image = MakeImage(kGray8);
  DicomWriter dataset = StandardElements(image);
  dataset.Binary(0x7FE0, 0x0001, "OV", Bytes(8, 0)).Binary(0x7FE0, 0x0002, "OV", Bytes(8, 1));
  dataset.Encapsulated({RleFrame(image)}).Binary(0xFFFC, 0xFFFC, "OB", Bytes(10, 7));
  const auto result = TranscodeBytes(File(kRleLossless, dataset.byte_vector()));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->pixels(), image.pixels);
  EXPECT_TRUE(result->dataset->tagExists(DCM_DataSetTrailingPadding));
  EXPECT_FALSE(result->dataset->tagExists(DCM_ExtendedOffsetTable));
  EXPECT_FALSE(result->dataset->tagExists(DCM_ExtendedOffsetTableLengths));
}

TEST(TranscoderTest, ValuesTooLongForMemoryAreCopied) {
  Bytes blob(3 << 20);
  for (std::size_t i = 0; i < blob.size(); ++i) blob[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  DicomWriter dataset = StandardElements(kGray8);
  dataset.Text(0x0029, 0x0010, "LO", "TEST").Binary(0x0029, 0x1001, "OB", blob);
  const auto result = TranscodeBytes(File(kExplicit, dataset.byte_vector()), kBigEndian);
  ASSERT_TRUE(result) << result.error();
  const Uint8* raw = nullptr;
  unsigned long count = 0;
  ASSERT_TRUE(result->dataset->findAndGetUint8Array(DcmTagKey(0x0029, 0x1001), raw, &count).good());
  EXPECT_EQ(Bytes(raw, raw + count), blob);
}

TEST(TranscoderTest, FilesWithoutMetaHeaderAreRead) {
  const TestImage image = MakeImage(kGray12);
  const Bytes whole = NativeFile(image);
  const auto bare = TranscodeBytes(NativeDataset(image));
  ASSERT_TRUE(bare) << bare.error();
  EXPECT_EQ(bare->pixels(), image.pixels);
  const auto without_preamble = TranscodeBytes(Bytes(whole.begin() + 132, whole.end()));
  ASSERT_TRUE(without_preamble) << without_preamble.error();
  EXPECT_EQ(without_preamble->pixels(), image.pixels);
  Bytes wrong_length = whole;
  wrong_length[140] = 10;  // (0002,0000)
  const auto broken = TranscodeBytes(wrong_length);
  ASSERT_TRUE(broken) << broken.error();
  EXPECT_EQ(broken->pixels(), image.pixels);
}

std::string ReasonFor(const Bytes& file, std::string_view target = kExplicit, const TranscodeOptions& options = {}) {
  const auto result = TranscodeBytes(file, target, options);
  return result ? "decoded" : result.error();
}

TEST(TranscoderReasonsTest, SyntaxesThatCannotBeDecodedOrEncoded) {
  const TestImage image = MakeImage(kGray8);
  EXPECT_THAT(ReasonFor(NativeFile(image), kRleLossless), HasSubstr("nothing can be encoded in 1.2.840.10008.1.2.5"));
  for (const char* syntax : {"1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.201", "1.2.840.113619.5.2", "1.2.3.4"}) {
    EXPECT_FALSE(CanDecode(syntax));
    EXPECT_EQ(ReasonFor(EncapsulatedFile(image, syntax, {Bytes(10, 0)})),
              std::string("the transfer syntax ") + syntax + " cannot be decoded");
  }
  EXPECT_FALSE(CanDecode(""));
  for (const std::string_view syntax :
       {kImplicit, kExplicit, kDeflate, kBigEndian, kJpegBaseline, kJpegLossless, kJpegLsLossless, kJpegLsLossy,
        kJpeg2000Lossless, kJpeg2000Any, kRleLossless}) {
    EXPECT_TRUE(CanDecode(syntax)) << syntax;
  }
}

TEST(TranscoderReasonsTest, FilesThatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(Transcode((folder / "absent").string(), kExplicit).error(), HasSubstr("No such file"));
  EXPECT_THAT(Transcode(folder.path().string(), kExplicit).error(), HasSubstr("not a regular file"));
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Transcode((folder / "pipe").string(), kExplicit).error(), HasSubstr("not a regular file"));
  EXPECT_NE(ReasonFor({}), "decoded");
  EXPECT_NE(ReasonFor(Bytes(1000, 'x')), "decoded");
  Bytes truncated = NativeFile(MakeImage(kGray8));
  truncated.resize(truncated.size() - 5);
  EXPECT_THAT(ReasonFor(truncated), HasSubstr("the file cannot be read"));
  TranscodeOptions nowhere{.temporary_directory = (folder / "absent").string()};
  EXPECT_THAT(ReasonFor(NativeFile(MakeImage(kGray8)), kExplicit, nowhere), HasSubstr("temporary file"));
}

TEST(TranscoderReasonsTest, FragmentsThatDoNotMatchTheFrames) {
  const TestImage two = MakeImage({.frames = 2});
  const Bytes frame = RleFrame(MakeImage(kGray8));
  EXPECT_THAT(ReasonFor(EncapsulatedFile(two, kRleLossless, {frame})), HasSubstr("2 frames, but has 1 fragments"));
  EXPECT_THAT(ReasonFor(EncapsulatedFile(two, kRleLossless, {frame, frame, frame})),
              HasSubstr("cannot be told apart"));
  EXPECT_THAT(ReasonFor(EncapsulatedFile(two, kRleLossless, {frame, {}})),
              HasSubstr("frame 2: the RLE header is incomplete"));
  EXPECT_THAT(ReasonFor(EncapsulatedFile(kGray8, kRleLossless, {})), HasSubstr("has 0 fragments"));
  TestImage none = two;
  none.frames = 1;
  DicomWriter dataset = StandardElements(none);
  EXPECT_THAT(
      ReasonFor(File(kRleLossless, dataset.Text(0x0028, 0x0008, "IS", "0").Encapsulated({frame}).byte_vector())),
      HasSubstr("not a positive number"));
}

TEST(TranscoderReasonsTest, ImagesThatContradictTheirStreams) {
  const TestImage image = MakeImage(kGray8);
  for (const std::string_view syntax : {kJpegLossless, kJpegLsLossless, kJpegBaseline, kRleLossless}) {
    SCOPED_TRACE(syntax);
    const Compressed file(image, syntax);
    for (const auto& [tag, value] : std::vector<std::pair<DcmTagKey, Uint16>>{{DCM_Rows, 14},
                                                                              {DCM_Rows, 0},
                                                                              {DCM_Columns, 18},
                                                                              {DCM_SamplesPerPixel, 3},
                                                                              {DCM_SamplesPerPixel, 4},
                                                                              {DCM_BitsAllocated, 12},
                                                                              {DCM_BitsStored, 33},
                                                                              {DCM_HighBit, 40}}) {
      SCOPED_TRACE(DcmTag(tag).getTagName());
      DcmFileFormat changed;
      ASSERT_TRUE(changed.loadFile(file.path().c_str()).good());
      (void)changed.getDataset()->putAndInsertUint16(tag, value);
      const TemporaryFolder folder;
      ASSERT_TRUE(changed.saveFile((folder / "changed.dcm").c_str()).good());
      EXPECT_FALSE(TranscodeAndRead(folder / "changed.dcm"));
    }
  }
}

TEST(TranscoderReasonsTest, MissingAttributesAreNamed) {
  const Compressed file(MakeImage(kGray8), kRleLossless);
  DcmFileFormat changed;
  ASSERT_TRUE(changed.loadFile(file.path().c_str()).good());
  (void)changed.getDataset()->findAndDeleteElement(DCM_BitsStored);
  ASSERT_TRUE(changed.saveFile(file.path().c_str()).good());
  EXPECT_EQ(TranscodeAndRead(file.path()).error(), "the image has no Bits Stored");
}

// For the marker TEM, DCMTK 3.6.7's search for the frame header never ends, whatever follows.
TEST(TranscoderReasonsTest, MarkersWithoutLengthDoNotHang) {
  const Bytes stream = {0xFF, 0xD8, 0xFF, 0x01, 0x00, 0x02, 0xFF, 0xC0, 0x00, 0x0B, 8,
                        0,    13,   0,    17,   1,    1,    0x11, 0,    0xFF, 0xD9};
  EXPECT_THAT(ReasonFor(EncapsulatedFile(kGray8, kJpegBaseline, {stream})), HasSubstr("no frame header"));
}

TEST(TranscoderReasonsTest, PixelsOf32BitsDoNotChangeTheirByteOrder) {
  TestImage image{.rows = 2, .columns = 2, .bits_allocated = 32, .bits_stored = 32};
  image.pixels = Bytes(16, 5);
  EXPECT_THAT(ReasonFor(NativeFile(image), kBigEndian), HasSubstr("no agreed order of bytes"));
  EXPECT_EQ(ReasonFor(NativeFile(image), kImplicit), "decoded");
}

TEST(TranscoderReasonsTest, NativePixelsInACompressedSyntax) {
  const TestImage image = MakeImage(kGray8);
  EXPECT_THAT(
      ReasonFor(File(kRleLossless, StandardElements(image).Binary(0x7FE0, 0x0010, "OB", image.pixels).byte_vector())),
      HasSubstr("uses explicit length"));
}

TEST(TranscoderLimitsTest, AFrameIsRefusedBeforeItIsAllocated) {
  TestImage huge = MakeImage(kGray8);
  huge.rows = huge.columns = 65535;
  EXPECT_THAT(ReasonFor(EncapsulatedFile(huge, kRleLossless, {Bytes(64, 0)})),
              HasSubstr("one frame has 8589672450 bytes"));
  TranscodeOptions options;
  options.frame_bytes_max = 100;
  EXPECT_THAT(ReasonFor(EncapsulatedFile(MakeImage({.rows = 5, .columns = 10}), kRleLossless, {Bytes(200, 0)}),
                        kExplicit, options),
              HasSubstr("a compressed frame of 200 bytes is over the limit"));
}

TEST(TranscoderLimitsTest, NativePixelDataEndsAtFourGigabytes) {
  const TestImage image{.rows = 8192, .columns = 8192, .frames = 65};
  Bytes segment;
  for (int i = 0; i < 8192 * 8192 / 128; ++i) segment.insert(segment.end(), {129, 0});  // 128 pixels each
  std::vector<Bytes> fragments(65, Bytes{0, 0});
  fragments[0] = RleStream(segment);
  EXPECT_THAT(ReasonFor(EncapsulatedFile(image, kRleLossless, fragments)), HasSubstr("would not fit into the 4 GB"));
}

TEST(TranscoderLimitsTest, TheResultIsLimited) {
  const TestImage image = MakeImage({.rows = 100, .columns = 100});
  TranscodeOptions options;
  options.output_bytes_max = 10000;
  for (const std::string_view syntax : {kExplicit, kRleLossless}) {
    EXPECT_THAT(TranscodeAndRead(Compressed(image, syntax).path(), kImplicit, options).error(),
                HasSubstr("limit of 10000 bytes"));
  }
}

Bytes Deflate(const Bytes& dataset) {
  const std::string deflated = Deflated(AsText(dataset));
  return {deflated.begin(), deflated.end()};
}

TEST(TranscoderLimitsTest, DeflatedDatasetsAreLimitedWhereTheyAreInflated) {
  DicomWriter dataset = StandardElements(kGray8);
  const Bytes deflated = Deflate(dataset.Binary(0x7FE0, 0x0010, "OB", Bytes(4 << 20, 0)).byte_vector());
  ASSERT_LT(deflated.size(), 10000u);
  TranscodeOptions options;
  options.output_bytes_max = 1 << 20;
  EXPECT_THAT(ReasonFor(File(kDeflate, deflated), kExplicit, options), HasSubstr("limit of 1048576 bytes"));
  EXPECT_EQ(ReasonFor(File(kDeflate, deflated)), "decoded");
  EXPECT_THAT(ReasonFor(File(kDeflate, Bytes(deflated.begin(), deflated.begin() + 100))), HasSubstr("truncated"));
  Bytes damaged = deflated;
  damaged[0] = 0xFF;
  EXPECT_THAT(ReasonFor(File(kDeflate, damaged)), HasSubstr("damaged"));
}

// Exits with status 0 if the file is transcoded to at least `bytes_min` bytes with only `room` additional bytes of
// memory.
[[noreturn]] void TranscodeWithin(rlim_t room, const std::filesystem::path& path, std::uint64_t bytes_min) {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  const rlimit limit{.rlim_cur = pages * 4096 + room, .rlim_max = RLIM_INFINITY};
  if (pages == 0 || setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(2);
  const auto result = Transcode(path.string(), kImplicit);
  std::_Exit(result && result->size_bytes >= bytes_min ? 0 : 1);
}

// 96 MB in 48 frames, 96 MB native, 96 MB deflated: each must be processed without keeping all of it in memory.
TEST(TranscoderLimitsTest, MemoryDoesNotGrowWithTheNumberOfFrames) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need more address space than the limit leaves";
#endif
  const TemporaryFolder folder;
  const TestImage one = MakeImage({.rows = 1000, .columns = 2000});
  TestImage many = one;
  many.frames = 48;
  const Bytes frame = RleFrame(one);
  Bytes all;
  for (int i = 0; i < many.frames; ++i) all.insert(all.end(), one.pixels.begin(), one.pixels.end());
  many.pixels = std::move(all);
  WriteBytes(folder / "native.dcm", NativeFile(many));
  WriteBytes(folder / "rle.dcm", EncapsulatedFile(many, kRleLossless, std::vector<Bytes>(48, frame)));
  WriteBytes(folder / "deflated.dcm", File(kDeflate, Deflate(NativeDataset(many))));
  (void)Transcode((folder / "rle.dcm").string(), kExplicit);
  for (const char* name : {"rle.dcm", "native.dcm", "deflated.dcm"}) {
    SCOPED_TRACE(name);
    EXPECT_EXIT(TranscodeWithin(32 << 20, folder / name, 96'000'000), testing::ExitedWithCode(0), "");
  }
}

TEST(TranscoderTest, ThreadsDoNotDisturbEachOther) {
  std::vector<TestImage> images;
  std::vector<std::unique_ptr<Compressed>> files;
  for (const std::string_view syntax : {kJpegLossless, kJpegLsLossless, kRleLossless, kDeflate, kBigEndian}) {
    for (const TestImage& shape : {kGray12, kColorFrames}) {
      images.push_back(MakeImage(shape));
      files.push_back(std::make_unique<Compressed>(images.back(), syntax));
    }
  }
  std::vector<std::thread> threads;
  for (std::size_t first = 0; first < 4; ++first) {
    threads.emplace_back([&, first] {
      for (std::size_t i = 0; i < 3 * files.size(); ++i) {
        const std::size_t at = (first + i) % files.size();
        ExpectSame(TranscodeAndRead(files[at]->path(), i % 2 == 0 ? kImplicit : kBigEndian), images[at]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace dicom_sender
