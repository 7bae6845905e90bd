#include "dicom/transcode/jpeg2000.h"

#include <fmt/format.h>
#include <openjpeg.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "dicom/byte_order.h"
#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

// OpenJPEG allocates about 6 KB for each tile that the header announces, before it reads any.
constexpr std::uint64_t kTilesMax = 16384;

struct CodecDeleter {
  void operator()(opj_codec_t* codec) const { opj_destroy_codec(codec); }
};
struct StreamDeleter {
  void operator()(opj_stream_t* stream) const { opj_stream_destroy(stream); }
};
struct ImageDeleter {
  void operator()(opj_image_t* image) const { opj_image_destroy(image); }
};
struct InfoDeleter {
  void operator()(opj_codestream_info_v2_t* info) const { opj_destroy_cstr_info(&info); }
};

// Returns the codestream inside a JP2 file's boxes (ISO 15444-1 annex I), or the stream itself if it is not a JP2
// file.
ByteView Codestream(ByteView stream) {
  constexpr std::uint32_t kSignature = 0x6A502020;   // "jP  "
  constexpr std::uint32_t kCodestream = 0x6A703263;  // "jp2c"
  if (stream.size() < 12 || GetU32Big(stream.subspan(4)) != kSignature) return stream;
  while (stream.size() >= 8) {
    const std::uint64_t length = GetU32Big(stream);
    if (GetU32Big(stream.subspan(4)) == kCodestream)
      return stream.subspan(length == 1 && stream.size() >= 16 ? 16 : 8);
    if (length < 8 || length > stream.size())
      break;  // 0 and 1 mark the last box and huge boxes, which are not supported
    stream = stream.subspan(length);
  }
  return {};
}

struct SizeSegment {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint64_t tiles = 0;
  unsigned components = 0;
  unsigned precision = 0;  // 0: the components differ
  bool subsampled = false;
};

// Reads SIZ, which is first in every codestream (ISO 15444-1 A.5.1), so that OpenJPEG allocates nothing for a stream
// that cannot be the declared image.
std::optional<SizeSegment> ReadSizeSegment(ByteView stream) {
  constexpr std::size_t kComponentsAt = 42;
  if (stream.size() < kComponentsAt || GetU32Big(stream) != 0xFF4FFF51) return std::nullopt;
  const std::uint32_t right = GetU32Big(stream.subspan(8)), bottom = GetU32Big(stream.subspan(12));
  const std::uint32_t left = GetU32Big(stream.subspan(16)), top = GetU32Big(stream.subspan(20));
  const std::uint32_t tile_width = GetU32Big(stream.subspan(24)), tile_height = GetU32Big(stream.subspan(28));
  const std::uint32_t tile_left = GetU32Big(stream.subspan(32)), tile_top = GetU32Big(stream.subspan(36));
  if (right <= left || bottom <= top || tile_width == 0 || tile_height == 0 || tile_left > left || tile_top > top) {
    return std::nullopt;
  }
  SizeSegment size{.width = right - left, .height = bottom - top};
  const std::uint64_t across = (std::uint64_t{right} - tile_left + tile_width - 1) / tile_width;
  const std::uint64_t down = (std::uint64_t{bottom} - tile_top + tile_height - 1) / tile_height;
  size.tiles = across > kTilesMax || down > kTilesMax ? kTilesMax + 1 : across * down;
  size.components = GetU16Big(stream.subspan(40));
  if (size.components == 0 || stream.size() < kComponentsAt + 3 * std::size_t{size.components}) return std::nullopt;
  size.precision = (stream[kComponentsAt] & 0x7Fu) + 1;
  for (std::size_t i = 0; i < size.components; ++i) {
    const ByteView component = stream.subspan(kComponentsAt + 3 * i, 3);
    if (component[0] != stream[kComponentsAt]) size.precision = 0;
    if (component[1] != 1 || component[2] != 1) size.subsampled = true;
  }
  return size;
}

std::string Contradiction(const SizeSegment& size, const ImageFormat& declared) {
  if (size.width != declared.columns || size.height != declared.rows ||
      size.components != declared.samples_per_pixel) {
    return fmt::format(
        "the JPEG 2000 stream holds {} x {} pixels of {} components, the dataset declares {} x {} of {}", size.width,
        size.height, size.components, declared.columns, declared.rows, declared.samples_per_pixel);
  }
  if (size.subsampled || declared.is_subsampled())
    return "JPEG 2000 streams with subsampled components cannot be decoded";
  if (size.precision == 0) return "the components of the JPEG 2000 stream differ in their bits";
  if (size.precision > 16 || declared.bits_allocated > 16) {
    return "JPEG 2000 streams of more than 16 bits cannot be decoded";
  }
  if (size.tiles > kTilesMax) return fmt::format("the JPEG 2000 stream has more than {} tiles", kTilesMax);
  return {};
}

// OpenJPEG's view of the bytes in memory.
struct Source {
  ByteView bytes;
  std::size_t at = 0;
};

OPJ_SIZE_T Read(void* buffer, OPJ_SIZE_T wanted, void* user) {
  auto& source = *static_cast<Source*>(user);
  const std::size_t count = std::min<std::size_t>(wanted, source.bytes.size() - source.at);
  if (count == 0) return static_cast<OPJ_SIZE_T>(-1);  // OpenJPEG's value for the end
  std::memcpy(buffer, source.bytes.data() + source.at, count);
  source.at += count;
  return count;
}

OPJ_OFF_T Skip(OPJ_OFF_T count, void* user) {
  auto& source = *static_cast<Source*>(user);
  if (count < 0 || static_cast<std::uint64_t>(count) > source.bytes.size() - source.at) return -1;
  source.at += static_cast<std::size_t>(count);
  return count;
}

OPJ_BOOL Seek(OPJ_OFF_T position, void* user) {
  auto& source = *static_cast<Source*>(user);
  if (position < 0 || static_cast<std::uint64_t>(position) > source.bytes.size()) return OPJ_FALSE;
  source.at = static_cast<std::size_t>(position);
  return OPJ_TRUE;
}

void KeepFirstMessage(const char* message, void* user) {
  auto& kept = *static_cast<std::string*>(user);
  if (!kept.empty()) return;
  kept = message;
  while (!kept.empty() && (kept.back() == '\n' || kept.back() == '.')) kept.pop_back();
}

struct Decoded {
  std::unique_ptr<opj_image_t, ImageDeleter> image;
  bool irreversible = false;
};

// Whether the default tile was encoded with the 9-7 wavelet, which is always lossy (ISO 15444-1 annex F).
bool IsIrreversible(opj_codec_t* codec) {
  const std::unique_ptr<opj_codestream_info_v2_t, InfoDeleter> info(opj_get_cstr_info(codec));
  return info && info->m_default_tile_info.tccp_info != nullptr && info->m_default_tile_info.tccp_info[0].qmfbid == 0;
}

tl::expected<Decoded, std::string> Decode(ByteView codestream) {
  Source source{.bytes = codestream};
  std::string message;
  const std::unique_ptr<opj_stream_t, StreamDeleter> stream(opj_stream_create(64 << 10, OPJ_TRUE));
  const std::unique_ptr<opj_codec_t, CodecDeleter> codec(opj_create_decompress(OPJ_CODEC_J2K));
  if (!stream || !codec) return Reason("no memory to decode the JPEG 2000 stream");
  opj_stream_set_read_function(stream.get(), Read);
  opj_stream_set_skip_function(stream.get(), Skip);
  opj_stream_set_seek_function(stream.get(), Seek);
  opj_stream_set_user_data(stream.get(), &source, nullptr);
  opj_stream_set_user_data_length(stream.get(), codestream.size());
  opj_set_error_handler(codec.get(), KeepFirstMessage, &message);
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t* raw = nullptr;
  // In strict mode, a truncated stream is an error, not an image with less detail.
  bool good = opj_setup_decoder(codec.get(), &parameters) && opj_decoder_set_strict_mode(codec.get(), OPJ_TRUE) &&
              opj_read_header(stream.get(), codec.get(), &raw);
  Decoded decoded{.image = std::unique_ptr<opj_image_t, ImageDeleter>(raw)};
  good = good && opj_decode(codec.get(), stream.get(), raw);
  if (!good) return Reason(fmt::format("the JPEG 2000 stream cannot be decoded: {}", message));
  decoded.irreversible = IsIrreversible(codec.get());
  return decoded;
}

// Whether the decoded image has the announced format and all of its samples.
bool IsComplete(const opj_image_t& image, const ImageFormat& declared, unsigned precision) {
  if (image.numcomps != declared.samples_per_pixel) return false;
  return std::all_of(image.comps, image.comps + image.numcomps, [&](const opj_image_comp_t& component) {
    return component.data != nullptr && component.w == declared.columns && component.h == declared.rows &&
           component.prec == precision;
  });
}

std::vector<std::uint8_t> Interleave(const opj_image_t& image, const ImageFormat& format, unsigned precision) {
  const std::uint32_t mask = (1u << precision) - 1;
  const std::uint32_t sign = format.is_signed ? 1u << (precision - 1) : 0;
  const bool wide = format.bits_allocated == 16;
  const std::size_t pixels = std::size_t{format.rows} * format.columns;
  std::vector<std::uint8_t> bytes(format.frame_bytes());
  std::uint8_t* out = bytes.data();
  for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
    for (std::size_t component = 0; component < image.numcomps; ++component) {
      const std::uint32_t bits = static_cast<std::uint32_t>(image.comps[component].data[pixel]) & mask;
      const std::uint32_t value = (bits ^ sign) - sign;  // sign-extended where there is a sign
      *out++ = static_cast<std::uint8_t>(value);
      if (wide) *out++ = static_cast<std::uint8_t>(value >> 8);
    }
  }
  return bytes;
}

// PS3.3 C.7.6.3.1.2: the decoder has undone the component transform of the codestream.
std::string DecodedPhotometric(const std::string& declared) {
  return declared == "YBR_RCT" || declared == "YBR_ICT" ? "RGB" : declared;
}

}  // namespace

FrameResult DecodeJpeg2000Frame(std::span<const std::uint8_t> stream, const ImageFormat& declared) {
  const ByteView codestream = Codestream(stream);
  const std::optional<SizeSegment> size = ReadSizeSegment(codestream);
  if (!size) return Reason("the JPEG 2000 stream has no valid header");
  if (std::string problem = Contradiction(*size, declared); !problem.empty()) {
    return Reason(std::move(problem));
  }
  const auto decoded = Decode(codestream);
  if (!decoded) return Reason(decoded.error());
  if (!IsComplete(*decoded->image, declared, size->precision)) {
    return Reason("the JPEG 2000 stream does not hold the image its header announces");
  }
  DecodedFrame frame{.bytes = {}, .format = WithPrecision(declared, size->precision), .lossy = decoded->irreversible};
  frame.format.photometric = DecodedPhotometric(declared.photometric);
  frame.format.color_by_plane = false;
  frame.bytes = Interleave(*decoded->image, frame.format, size->precision);
  return frame;
}

}  // namespace dicom_sender
