#include "coordinator/summary/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace dicom_sender {
namespace {

// Makes the new name survive a power failure. Returns false and sets errno if that fails.
bool SyncFolder(const std::string& folder) {
  const UniqueFd fd(open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some network file systems do not support fsync() on a folder.
  return fd.valid() && (fsync(fd.get()) == 0 || errno == EINVAL);
}

}  // namespace

AtomicFile::AtomicFile(std::string path)
    : path_(std::move(path)), fd_(open(TemporaryPath().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
  Note(fd_.valid());
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (fd_.valid()) unlink(TemporaryPath().c_str());
}

void AtomicFile::Note(bool done) {
  if (!done && error_ == 0) error_ = errno;
}

void AtomicFile::WriteBuffer() {
  std::size_t at = 0;
  while (error_ == 0 && at < buffer_.size()) {
    const ssize_t written = write(fd_.get(), buffer_.data() + at, buffer_.size() - at);
    if (written < 0 && errno == EINTR) continue;
    Note(written >= 0);
    if (written > 0) at += static_cast<std::size_t>(written);
  }
  buffer_.clear();
}

tl::expected<void, std::string> AtomicFile::Commit() {
  WriteBuffer();
  if (error_ == 0) Note(fsync(fd_.get()) == 0);
  if (error_ == 0) Note(rename(TemporaryPath().c_str(), path_.c_str()) == 0);
  if (error_ == 0) {
    fd_.reset();
    Note(SyncFolder(std::filesystem::path(path_).parent_path()));
  }
  if (error_ == 0) return {};
  return tl::unexpected(fmt::format("'{}' cannot be written: {}", path_, std::strerror(error_)));
}

}  // namespace dicom_sender
