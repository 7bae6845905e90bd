#include "dicom/file/inflating_reader.h"

#include <cstring>
#include <string>

namespace dicom_sender {

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

std::span<const std::uint8_t> InflatingReader::PeekBlock() {
  const std::uint8_t* first = Peek(1);
  if (first == nullptr) return {};
  return {first, buffered()};
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
    // zlib may still hold output after it has taken the last byte, so it is also asked without any input.
    const auto block = source_.PeekBlock();
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
    if (block.empty() && end_ == before && !ended_) {
      const bool is_short = !source_.failure();
      Fail(is_short ? HeaderProblem::kTruncated : source_.failure()->problem,
           is_short ? "the deflated dataset is truncated" : source_.failure()->reason);
      return false;
    }
  }
  if (position_ + buffered() > bytes_max_) {
    Fail(HeaderProblem::kMalformed,
         "the deflated dataset inflates to more than " + std::to_string(bytes_max_) + " bytes");
  }
  return end_ != before;
}

}  // namespace dicom_sender
