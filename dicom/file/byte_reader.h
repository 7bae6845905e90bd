// Bytes of a file from front to back, where most are skipped: straight, or inflated. Internal to the header reader.
#pragma once

#include <zlib.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "dicom/file/file_header.h"

namespace dicom_sender {

// Not thread-safe.
class ByteReader {
 public:
  static constexpr std::size_t kPeekBytesMax = 256;

  ByteReader() = default;
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;
  virtual ~ByteReader() = default;

  // The next `count` (at most kPeekBytesMax) bytes, valid until the next call. Null if there are fewer, or after a
  // failure.
  virtual const std::uint8_t* Peek(std::size_t count) = 0;
  // False if there are fewer bytes (the position is undefined then), or after a failure.
  virtual bool Skip(std::uint64_t count) = 0;

  std::uint64_t position() const { return position_; }
  // Why reading ended, where it was not the plain end of the bytes.
  const std::optional<HeaderError>& failure() const { return failure_; }

 protected:
  void Fail(HeaderProblem problem, std::string reason);

  std::uint64_t position_ = 0;

 private:
  std::optional<HeaderError> failure_;
};

// Reads large blocks while they are used up one after the other, and small ones after a jump: whoever skips values
// has no use for what lies around the next header.
class FileReader : public ByteReader {
 public:
  // `size_bytes` as fstat said it. The descriptor must outlive the object.
  FileReader(int fd, std::uint64_t size_bytes) : fd_(fd), size_bytes_(size_bytes) {}

  const std::uint8_t* Peek(std::size_t count) override;
  bool Skip(std::uint64_t count) override;
  // As many bytes as are at hand, at least one; none at the end or after a failure.
  std::span<const std::uint8_t> PeekBlock();

  std::uint64_t remaining() const { return size_bytes_ - position_; }

 private:
  static constexpr std::size_t kBlockBytes = 16 << 10;
  static constexpr std::size_t kBlockBytesAfterJump = 512;

  bool IsBuffered(std::size_t count) const {
    return position_ >= buffer_offset_ && position_ + count <= buffer_offset_ + buffered_;
  }
  bool Fill();

  const int fd_;
  const std::uint64_t size_bytes_;
  std::uint64_t buffer_offset_ = 0;  // in the file, of the first buffered byte
  std::size_t buffered_ = 0;
  std::size_t block_bytes_ = kBlockBytes;
  std::array<std::uint8_t, kBlockBytes> buffer_;  // not initialised: `buffered_` bytes of it are
};

// What deflate (RFC 1951, without zlib's header: PS3.5 A.5) has packed from the current position of `source` on.
class InflatingReader : public ByteReader {
 public:
  // `source` must outlive the object. More than `bytes_max` inflated bytes are a failure.
  InflatingReader(FileReader& source, std::uint64_t bytes_max);
  ~InflatingReader() override;

  const std::uint8_t* Peek(std::size_t count) override;
  bool Skip(std::uint64_t count) override;

 private:
  static constexpr std::size_t kBufferBytes = 64 << 10;

  bool Fill();  // false if nothing was added
  std::size_t buffered() const { return end_ - begin_; }

  FileReader& source_;
  const std::uint64_t bytes_max_;
  z_stream stream_{};
  bool ended_ = false;
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what is inflated and not yet skipped
};

}  // namespace dicom_sender
