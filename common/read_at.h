// Reads a part of a file, and retries short and interrupted reads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

namespace dicom_sender {

// Reads from `offset` until `bytes` is full or the file ends. Neither uses nor moves the file position. Returns the
// number of bytes read, or -1 and sets errno.
ssize_t ReadAt(int fd, std::span<std::uint8_t> bytes, std::uint64_t offset);

}  // namespace dicom_sender
