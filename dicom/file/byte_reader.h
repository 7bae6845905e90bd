// Reads the bytes of a file from start to end and skips most of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
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

  // Returns the next `count` (at most kPeekBytesMax) bytes, valid until the next call. Null if fewer are left, or
  // after a failure.
  virtual const std::uint8_t* Peek(std::size_t count) = 0;
  // Returns the buffered bytes, at least one, valid until the next call; none at the end or after a failure.
  virtual std::span<const std::uint8_t> PeekBlock() = 0;
  // Returns false if fewer bytes are left (then the position is undefined), or after a failure.
  virtual bool Skip(std::uint64_t count) = 0;

  std::uint64_t position() const { return position_; }
  // Set if reading ended before the end of the bytes.
  const std::optional<HeaderError>& failure() const { return failure_; }

 protected:
  void Fail(HeaderProblem problem, std::string reason);

  std::uint64_t position_ = 0;

 private:
  std::optional<HeaderError> failure_;
};

// Reads large blocks during sequential use and small ones after a jump, because a caller that skips values does not
// use the bytes around the next header.
class FileReader : public ByteReader {
 public:
  // `size_bytes` comes from fstat. The descriptor must outlive the object.
  FileReader(int fd, std::uint64_t size_bytes) : fd_(fd), size_bytes_(size_bytes) {}

  const std::uint8_t* Peek(std::size_t count) override;
  std::span<const std::uint8_t> PeekBlock() override;
  bool Skip(std::uint64_t count) override;

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
  std::uint64_t buffer_offset_ = 0;  // offset of the first buffered byte in the file
  std::size_t buffered_ = 0;
  std::size_t block_bytes_ = kBlockBytes;
  std::array<std::uint8_t, kBlockBytes> buffer_;  // not initialized; holds `buffered_` bytes
};

}  // namespace dicom_sender
