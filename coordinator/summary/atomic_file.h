// A text file that is there as a whole or not at all: written under a temporary name beside its place, flushed to the
// disk, then renamed. One thread.
#pragma once

#include <cstddef>
#include <string>
#include <tl/expected.hpp>

#include "common/unique_fd.h"

namespace dicom_sender {

// An output stream for RapidJSON's writers, too: Ch, Put() and Flush() are what these ask for.
class AtomicFile {
 public:
  using Ch = char;

  // What fails here or later is told by Commit(); until then nothing more is written.
  explicit AtomicFile(std::string path);
  ~AtomicFile();  // without a Commit() before, nothing is left behind
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Put(char c) {
    buffer_ += c;
    if (buffer_.size() >= kBufferBytes) WriteBuffer();
  }
  void Flush() {}  // the writers call it after each value, which is too often

  // Durable under its name when it returns. The error is one sentence.
  tl::expected<void, std::string> Commit();

 private:
  static constexpr std::size_t kBufferBytes = 256 << 10;

  std::string TemporaryPath() const { return path_ + ".part"; }
  void WriteBuffer();
  void Note(bool done);

  std::string path_;
  UniqueFd fd_;
  std::string buffer_;
  int error_ = 0;  // errno of the first failure
};

}  // namespace dicom_sender
