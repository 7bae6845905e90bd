// Damaged streams must result in a reason or an image, never in a crash, a hang, or a huge allocation. Most useful
// with AddressSanitizer.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/dicom/transcode/compressed_file.h"
#include "tests/unit/dicom/transcode/jpeg2000_encoder.h"
#include "tests/unit/dicom/transcode/result.h"

namespace dicom_sender {
namespace {

constexpr int kRounds = 150;

Bytes IntactFile(std::string_view syntax, const TestImage& image) {
  if (syntax != kJpeg2000Lossless) return ReadBytes(Compressed(image, syntax).path());
  std::vector<Bytes> frames;
  for (int i = 0; i < image.frames; ++i) frames.push_back(EncodeJpeg2000(image, i));
  return EncapsulatedFile(image, syntax, frames);
}

// Returns where the value of the first fragment begins: after (7FE0,0010), its VR and length, and the offset table.
std::size_t FirstFragment(const Bytes& file) {
  const Bytes tag = {0xE0, 0x7F, 0x10, 0x00, 'O', 'B'};
  const auto found = std::search(file.begin(), file.end(), tag.begin(), tag.end());
  return std::min(file.size() - 1, static_cast<std::size_t>(found - file.begin()) + 12);
}

class CorruptionTest : public testing::TestWithParam<std::string_view> {
 protected:
  // Accepts any result: the damage may be irrelevant or undetectable.
  void Try(const Bytes& file) {
    const auto result = TranscodeBytes(file);
    if (result) return;
    EXPECT_FALSE(result.error().empty());
    ++refused_;
  }
  int refused_ = 0;
};

TEST_P(CorruptionTest, FlippedBytes) {
  std::mt19937 random(4711);
  for (const TestImage& shape : {TestImage{.bits_allocated = 16, .bits_stored = 12},
                                 TestImage{.samples = 3, .frames = 2, .photometric = "RGB"}}) {
    const Bytes intact = IntactFile(GetParam(), MakeImage(shape));
    const std::size_t first = FirstFragment(intact);
    for (int round = 0; round < kRounds; ++round) {
      Bytes damaged = intact;
      // Alternates between positions near the stream's headers and anywhere in the dataset.
      const std::size_t begin = round % 2 == 0 ? first : 132,
                        end = round % 2 == 0 ? std::min(first + 100, damaged.size()) : damaged.size();
      for (unsigned flips = random() % 4 + 1; flips > 0; --flips) {
        damaged[begin + random() % (end - begin)] = static_cast<std::uint8_t>(random());
      }
      Try(damaged);
    }
  }
  EXPECT_GT(refused_, kRounds / 10);
}

// A file that is truncated between two elements is a shorter file. Its pixels must exist completely or not at all.
TEST_P(CorruptionTest, TruncatedFiles) {
  const TestImage image = MakeImage({.bits_allocated = 16, .bits_stored = 12});
  const Bytes intact = IntactFile(GetParam(), image);
  int refused = 0;
  for (std::size_t size = 133; size < intact.size(); size += 1 + intact.size() / kRounds) {
    const auto result = TranscodeBytes(Bytes(intact.begin(), intact.begin() + static_cast<std::ptrdiff_t>(size)));
    refused += !result;
    if (result && !result->pixels().empty()) {
      EXPECT_EQ(result->pixels(), image.pixels);
    }
  }
  EXPECT_GT(refused, kRounds / 2);
}

INSTANTIATE_TEST_SUITE_P(All, CorruptionTest,
                         testing::Values(kDeflate, kJpegLossless, kJpegLsLossless, kJpeg2000Lossless, kRleLossless));

// Only the stream is truncated, not the structure of the file, so the decoders must detect it.
TEST(CorruptFragmentsTest, StreamsThatEndEarlyAreRefused) {
  const TestImage image = MakeImage({.rows = 40, .columns = 40, .bits_allocated = 16, .bits_stored = 12});
  const Bytes stream = EncodeJpeg2000(image, 0);
  for (std::size_t size = 0; size + 2 < stream.size(); size += 1 + stream.size() / kRounds) {
    const Bytes cut(stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(TranscodeBytes(EncapsulatedFile(image, kJpeg2000Lossless, {cut}))) << size;
  }
}

}  // namespace
}  // namespace dicom_sender
