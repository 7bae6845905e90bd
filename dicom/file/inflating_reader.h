// Reads the bytes of a deflated dataset.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dicom/file/byte_reader.h"

namespace dicom_sender {

// Inflates a raw deflate stream (RFC 1951, without zlib's header; PS3.5 A.5) that begins at the position of `source`.
class InflatingReader : public ByteReader {
 public:
  // `source` must outlive the object. It is a failure if more than `bytes_max` bytes are inflated.
  InflatingReader(FileReader& source, std::uint64_t bytes_max);
  ~InflatingReader() override;

  const std::uint8_t* Peek(std::size_t count) override;
  std::span<const std::uint8_t> PeekBlock() override;
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
  std::size_t begin_ = 0, end_ = 0;  // inflated and not yet skipped
};

}  // namespace dicom_sender
