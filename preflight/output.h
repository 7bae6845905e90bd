// Standard output for a report of any length: unlike a console, it waits for a slow reader.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace dicom_sender {

class Output {
 public:
  using Ch = char;  // a stream that a JSON writer takes

  explicit Output(int fd) : fd_(fd) {}  // which stays the caller's

  void Put(char c) {
    buffer_ += c;
    if (buffer_.size() >= kBufferBytes) WriteBuffer();
  }
  void Write(std::string_view text) {
    for (const char c : text) Put(c);
  }
  void Flush() {}  // the writers call it more often than is good

  // The error is one sentence. A reader that has closed the pipe has read what it wanted, which is not an error.
  tl::expected<void, std::string> Finish();

 private:
  static constexpr std::size_t kBufferBytes = 64 << 10;

  void WriteBuffer();

  const int fd_;
  std::string buffer_;
  int error_ = 0;  // errno of the first failure, after which nothing is written
};

}  // namespace dicom_sender
