#include "dicom/transcode/rle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "dicom/byte_order.h"
#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kHeaderBytes = 64;  // the number of segments and 15 offsets, 32 bits little endian each (G.5)
constexpr std::size_t kSegmentsMax = 15;

// Writes the bytes of one segment (one byte of each sample, G.2) to their places in the decoded frame.
class ByteScatter {
 public:
  ByteScatter(std::vector<std::uint8_t>& frame, std::size_t first, std::size_t step, std::size_t count)
      : next_(frame.data() + first), step_(step), left_(count) {}

  // Drops excess bytes, because encoders pad segments to an even length.
  void Put(std::uint8_t byte) {
    if (left_ == 0) return;
    *next_ = byte;
    if (--left_ > 0) next_ += step_;
  }
  std::size_t left() const { return left_; }

 private:
  std::uint8_t* next_;
  std::size_t step_;
  std::size_t left_;
};

// Decodes PackBits (G.3.2). Returns false if the segment ends before all pixels are decoded.
bool DecodeSegment(std::span<const std::uint8_t> segment, ByteScatter out) {
  std::size_t at = 0;
  while (out.left() > 0 && at < segment.size()) {
    const unsigned code = segment[at++];
    if (code < 128) {  // a literal run of code + 1 bytes
      const std::size_t run = std::min<std::size_t>(code + 1, segment.size() - at);
      for (std::size_t i = 0; i < run; ++i) out.Put(segment[at + i]);
      at += run;
    } else if (code > 128 && at < segment.size()) {  // one byte, 257 - code times
      for (unsigned i = 0; i < 257 - code; ++i) out.Put(segment[at]);
      ++at;
    }
  }
  return out.left() == 0;
}

tl::expected<std::vector<std::span<const std::uint8_t>>, std::string> Segments(std::span<const std::uint8_t> stream,
                                                                               std::size_t expected) {
  if (stream.size() < kHeaderBytes) return Reason("the RLE header is incomplete");
  if (expected > kSegmentsMax || GetU32Little(stream) != expected) {
    return Reason(fmt::format("the RLE stream has {} segments instead of {}", GetU32Little(stream), expected));
  }
  std::array<std::size_t, kSegmentsMax + 1> bounds{};
  for (std::size_t i = 0; i < expected; ++i) bounds[i] = GetU32Little(stream.subspan(4 + 4 * i));
  bounds[expected] = stream.size();
  std::vector<std::span<const std::uint8_t>> segments;
  for (std::size_t i = 0; i < expected; ++i) {
    if (bounds[i] < kHeaderBytes || bounds[i] > bounds[i + 1]) {
      return Reason("the segments of the RLE stream are out of order");
    }
    if (bounds[i + 1] > stream.size()) return Reason("the RLE stream ends before its last segment");
    segments.push_back(stream.subspan(bounds[i], bounds[i + 1] - bounds[i]));
  }
  return segments;
}

}  // namespace

FrameResult DecodeRleFrame(std::span<const std::uint8_t> stream, const ImageFormat& declared) {
  if (declared.is_subsampled()) {
    return Reason("RLE cannot hold subsampled color, but the dataset declares it");  // PS3.5 8.2.2
  }
  const std::size_t sample_bytes = declared.bits_allocated / 8u;
  const std::size_t samples = declared.samples_per_pixel;
  const std::size_t pixels = std::size_t{declared.rows} * declared.columns;
  const auto segments = Segments(stream, sample_bytes * samples);
  if (!segments) return Reason(segments.error());
  DecodedFrame frame{.bytes = std::vector<std::uint8_t>(declared.frame_bytes()), .format = declared};
  for (std::size_t i = 0; i < segments->size(); ++i) {
    const std::size_t sample = i / sample_bytes;
    const std::size_t byte = sample_bytes - 1 - i % sample_bytes;  // the most significant byte comes first (G.2)
    const std::size_t first = declared.color_by_plane ? sample * pixels * sample_bytes : sample * sample_bytes;
    const std::size_t step = declared.color_by_plane ? sample_bytes : sample_bytes * samples;
    if (!DecodeSegment((*segments)[i], ByteScatter(frame.bytes, first + byte, step, pixels))) {
      return Reason(fmt::format("segment {} of the RLE stream is incomplete", i + 1));
    }
  }
  return frame;
}

}  // namespace dicom_sender
