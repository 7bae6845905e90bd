#include "preflight/output.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace dicom_sender {

void Output::WriteBuffer() {
  std::string_view rest = buffer_;
  while (!rest.empty() && error_ == 0) {
    const ssize_t written = write(fd_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd wait{fd_, POLLOUT, 0};
      poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  buffer_.clear();
}

tl::expected<void, std::string> Output::Finish() {
  WriteBuffer();
  if (error_ == 0 || error_ == EPIPE) return {};
  return tl::unexpected(fmt::format("standard output cannot be written: {}", std::strerror(error_)));
}

}  // namespace dicom_sender
