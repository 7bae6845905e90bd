// Writes a report of any length to standard output. Unlike a console, it waits for a slow reader.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace dicom_sender {

class Output {
 public:
  using Ch = char;  // RapidJSON requires it of an output stream

  explicit Output(int fd) : fd_(fd) {}  // the caller keeps ownership

  void Put(char c) {
    buffer_ += c;
    if (buffer_.size() >= kBufferBytes) WriteBuffer();
  }
  void Write(std::string_view text) {
    for (const char c : text) Put(c);
  }
  void Flush() {}  // does nothing, because the JSON writer calls it too often

  // The error is one sentence. A closed pipe is not an error, because the reader has read what it wanted.
  tl::expected<void, std::string> Finish();

 private:
  static constexpr std::size_t kBufferBytes = 64 << 10;

  void WriteBuffer();

  const int fd_;
  std::string buffer_;
  int error_ = 0;  // errno of the first failure; nothing is written afterwards
};

}  // namespace dicom_sender
