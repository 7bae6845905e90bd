#include "dicom/transcode/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;

UniqueFd OpenNameless(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd.valid() || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return fd;
  std::string name = directory + "/dicom_sender_XXXXXX";
  UniqueFd named(mkostemp(name.data(), O_CLOEXEC));
  if (named.valid()) unlink(name.c_str());
  return named;
}

}  // namespace

tl::expected<OutputFile, std::string> OutputFile::Create(const std::string& directory, std::uint64_t bytes_max) {
  UniqueFd fd = OpenNameless(directory);
  if (!fd.valid()) {
    return Reason(fmt::format("cannot create a temporary file in {}: {}", directory, std::strerror(errno)));
  }
  return OutputFile(std::move(fd), bytes_max);
}

bool OutputFile::WriteOut(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      error_ = fmt::format("writing the temporary file failed: {}", std::strerror(errno));
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

bool OutputFile::Flush() {
  const bool written = WriteOut(buffer_);
  buffer_.clear();
  return written;
}

bool OutputFile::Append(std::span<const std::uint8_t> bytes) {
  if (!error_.empty()) return false;
  if (bytes.size() > bytes_max_ - size_bytes_) {
    error_ = fmt::format("the decoded dataset would be larger than the limit of {} bytes", bytes_max_);
    return false;
  }
  size_bytes_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes && !Flush()) return false;
  if (bytes.size() > kBufferBytes) return WriteOut(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return true;
}

tl::expected<UniqueFd, std::string> OutputFile::Finish() {
  if (!error_.empty() || !Flush()) return Reason(error_);
  if (lseek(fd_.get(), 0, SEEK_SET) != 0) {
    return Reason(fmt::format("cannot rewind the temporary file: {}", std::strerror(errno)));
  }
  return std::move(fd_);
}

}  // namespace dicom_sender
