// Writes a text file atomically: under a temporary name in the same folder, flushed to the disk, and then renamed.
// Not thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <tl/expected.hpp>

#include "common/unique_fd.h"

namespace dicom_sender {

// Ch, Put(), and Flush() make this class an output stream for RapidJSON's writers.
class AtomicFile {
 public:
  using Ch = char;

  // Commit() returns the error if this or a later write fails. After the first failure, nothing more is written.
  explicit AtomicFile(std::string path);
  ~AtomicFile();  // without a preceding Commit(), removes the temporary file
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Put(char c) {
    buffer_ += c;
    if (buffer_.size() >= kBufferBytes) WriteBuffer();
  }
  void Flush() {}  // does nothing, because the writers call it after each value

  // When it returns, the file is durable under its name. The error is one sentence.
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
