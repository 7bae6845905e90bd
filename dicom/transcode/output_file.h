// An unnamed file, written from start to end through a buffer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "common/unique_fd.h"

namespace dicom_sender {

class OutputFile {
 public:
  // Creates the file in `directory` with O_TMPFILE. If the file system lacks that (NFS), it removes the name at once.
  static tl::expected<OutputFile, std::string> Create(const std::string& directory, std::uint64_t bytes_max);

  // Writes nothing after the first failure; `error` has the reason.
  bool Append(std::span<const std::uint8_t> bytes);
  const std::string& error() const { return error_; }
  std::uint64_t size_bytes() const { return size_bytes_; }

  // Writes the buffer, rewinds the file, and hands it over. Do not use the object afterwards.
  tl::expected<UniqueFd, std::string> Finish();

 private:
  OutputFile(UniqueFd fd, std::uint64_t bytes_max) : fd_(std::move(fd)), bytes_max_(bytes_max) {}
  bool WriteOut(std::span<const std::uint8_t> bytes);
  bool Flush();

  UniqueFd fd_;
  std::uint64_t bytes_max_;
  std::uint64_t size_bytes_ = 0;  // including buffered bytes
  std::vector<std::uint8_t> buffer_;
  std::string error_;
};

}  // namespace dicom_sender
