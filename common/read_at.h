// Reading a part of a file whatever the kernel makes of it in between.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

namespace dicom_sender {

// Reads from `offset` until `bytes` is full or the file ends; neither uses nor moves the file position. Returns how
// much it read, or -1 and errno.
ssize_t ReadAt(int fd, std::span<std::uint8_t> bytes, std::uint64_t offset);

}  // namespace dicom_sender
