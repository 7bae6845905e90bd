#include "dicom/transcode/deflated.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "common/read_at.h"
#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kBlockBytes = 256 << 10;
constexpr std::uint64_t kPreambleBytes = 128;
constexpr std::uint32_t kPaddedUidBytesMax = 66;  // 64, and what careless writers pad

struct ElementHeader {
  unsigned group = 0, element = 0;
  std::uint32_t length = 0;
  std::uint64_t value_offset = 0;
};

// One element header in Explicit VR Little Endian (PS3.5 7.1.2). Nothing at the end of the file, or if there is no
// VR.
std::optional<ElementHeader> ReadElementHeader(int fd, std::uint64_t offset) {
  std::array<std::uint8_t, 12> raw{};
  if (ReadAt(fd, raw, offset) < 8) return std::nullopt;
  const std::string_view vr(reinterpret_cast<const char*>(raw.data()) + 4, 2);
  if (vr[0] < 'A' || vr[0] > 'Z' || vr[1] < 'A' || vr[1] > 'Z') return std::nullopt;
  ElementHeader header{.group = unsigned{raw[0]} | unsigned{raw[1]} << 8,
                       .element = unsigned{raw[2]} | unsigned{raw[3]} << 8,
                       .length = std::uint32_t{raw[6]} | std::uint32_t{raw[7]} << 8,
                       .value_offset = offset + 8};
  if (vr == "OB" || vr == "UN" || vr == "OW" || vr == "SQ" || vr == "UT") {
    header.length = std::uint32_t{raw[8]} | std::uint32_t{raw[9]} << 8 | std::uint32_t{raw[10]} << 16 |
                    std::uint32_t{raw[11]} << 24;
    header.value_offset = offset + 12;
  }
  return header;
}

std::string ReadUid(int fd, const ElementHeader& header) {
  std::string uid(std::min(header.length, kPaddedUidBytesMax), '\0');
  const auto bytes = std::span(reinterpret_cast<std::uint8_t*>(uid.data()), uid.size());
  if (ReadAt(fd, bytes, header.value_offset) != static_cast<ssize_t>(uid.size())) return {};
  while (!uid.empty() && (uid.back() == '\0' || uid.back() == ' ')) uid.pop_back();
  return uid;
}

struct Inflater {
  Inflater() { ready = inflateInit2(&stream, -MAX_WBITS) == Z_OK; }  // no zlib header: PS3.5 A.5 wants RFC 1951
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
  bool ready = false;
};

}  // namespace

std::optional<MetaHeader> ReadMetaHeader(int fd) {
  std::array<std::uint8_t, 4> prefix{};
  const bool has_preamble = ReadAt(fd, prefix, kPreambleBytes) == 4 && std::memcmp(prefix.data(), "DICM", 4) == 0;
  MetaHeader meta{.transfer_syntax_uid = {}, .dataset_offset = has_preamble ? kPreambleBytes + 4 : 0};
  bool any = false;
  for (;;) {
    const auto header = ReadElementHeader(fd, meta.dataset_offset);
    if (!header || header->group != 0x0002) break;
    any = true;
    if (header->element == 0x0010) meta.transfer_syntax_uid = ReadUid(fd, *header);
    meta.dataset_offset = header->value_offset + header->length;
  }
  if (!any) return std::nullopt;
  return meta;
}

tl::expected<UniqueFd, std::string> Inflate(int fd, std::uint64_t offset, OutputFile output) {
  Inflater inflater;
  if (!inflater.ready) return Reason("no memory to inflate the dataset");
  std::vector<std::uint8_t> in(kBlockBytes), out(kBlockBytes);
  z_stream& stream = inflater.stream;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      const ssize_t count = ReadAt(fd, in, offset);
      if (count < 0) return Reason(fmt::format("reading failed: {}", std::strerror(errno)));
      if (count == 0) return Reason("the deflated dataset is truncated");
      offset += static_cast<std::uint64_t>(count);
      stream.next_in = in.data();
      stream.avail_in = static_cast<uInt>(count);
    }
    stream.next_out = out.data();
    stream.avail_out = kBlockBytes;
    status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      return Reason("the deflated dataset is damaged");
    }
    if (!output.Append(std::span(out).first(kBlockBytes - stream.avail_out))) return Reason(output.error());
  }
  return output.Finish();
}

}  // namespace dicom_sender
