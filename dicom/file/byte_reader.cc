#include "dicom/file/byte_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/read_at.h"

namespace dicom_sender {

void ByteReader::Fail(HeaderProblem problem, std::string reason) {
  if (!failure_) failure_ = HeaderError{problem, std::move(reason)};
}

const std::uint8_t* FileReader::Peek(std::size_t count) {
  if (failure() || count > remaining()) return nullptr;
  if (!IsBuffered(count) && !Fill()) return nullptr;
  return buffer_.data() + (position_ - buffer_offset_);
}

bool FileReader::Skip(std::uint64_t count) {
  if (failure() || count > remaining()) return false;
  position_ += count;
  return true;
}

std::span<const std::uint8_t> FileReader::PeekBlock() {
  const std::uint8_t* first = Peek(1);
  if (first == nullptr) return {};
  return {first, buffered_ - static_cast<std::size_t>(position_ - buffer_offset_)};
}

bool FileReader::Fill() {
  const bool goes_on = buffered_ == 0 || (position_ >= buffer_offset_ && position_ <= buffer_offset_ + buffered_);
  block_bytes_ = goes_on ? std::min(block_bytes_ * 2, kBlockBytes) : kBlockBytesAfterJump;
  const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(block_bytes_, remaining()));
  buffer_offset_ = position_;
  const ssize_t got = ReadAt(fd_, {buffer_.data(), wanted}, buffer_offset_);
  buffered_ = got > 0 ? static_cast<std::size_t>(got) : 0;
  if (got < 0) {
    Fail(HeaderProblem::kUnreadable, std::string("reading failed: ") + std::strerror(errno));
    return false;
  }
  if (buffered_ < wanted) {
    Fail(HeaderProblem::kTruncated, "the file became shorter while it was read");
    return false;
  }
  return true;
}

}  // namespace dicom_sender
