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

InflatingReader::InflatingReader(FileReader& source, std::uint64_t bytes_max)
    : source_(source), bytes_max_(bytes_max), buffer_(new std::uint8_t[kBufferBytes]) {
  if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK)
    Fail(HeaderProblem::kUnreadable, "no memory to inflate the dataset");
}

InflatingReader::~InflatingReader() { inflateEnd(&stream_); }

const std::uint8_t* InflatingReader::Peek(std::size_t count) {
  while (buffered() < count) {
    if (!Fill()) return nullptr;
  }
  return failure() ? nullptr : buffer_.get() + begin_;
}

bool InflatingReader::Skip(std::uint64_t count) {
  while (count > buffered()) {
    count -= buffered();
    position_ += buffered();
    begin_ = end_;
    if (!Fill()) return false;
  }
  begin_ += static_cast<std::size_t>(count);
  position_ += count;
  return !failure();
}

bool InflatingReader::Fill() {
  if (ended_ || failure()) return false;
  std::memmove(buffer_.get(), buffer_.get() + begin_, buffered());
  end_ -= begin_;
  begin_ = 0;
  const std::size_t before = end_;
  while (end_ == before && !ended_) {
    const auto block = source_.PeekBlock();
    if (block.empty()) {
      const bool is_short = !source_.failure();
      Fail(is_short ? HeaderProblem::kTruncated : source_.failure()->problem,
           is_short ? "the deflated dataset ends early" : source_.failure()->reason);
      return false;
    }
    stream_.next_in = const_cast<Bytef*>(block.data());  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(block.size());
    stream_.next_out = buffer_.get() + end_;
    stream_.avail_out = static_cast<uInt>(kBufferBytes - end_);
    const int status = inflate(&stream_, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      Fail(HeaderProblem::kMalformed, "the deflated dataset is damaged");
      return false;
    }
    source_.Skip(block.size() - stream_.avail_in);
    end_ = kBufferBytes - stream_.avail_out;
    ended_ = status == Z_STREAM_END;
  }
  if (position_ + buffered() > bytes_max_) {
    Fail(HeaderProblem::kMalformed,
         "the deflated dataset inflates to more than " + std::to_string(bytes_max_) + " bytes");
  }
  return end_ != before;
}

}  // namespace dicom_sender
