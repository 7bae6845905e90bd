// A name server that receives queries and never answers, for tests only.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "common/unique_fd.h"

namespace dicom_sender {

// The only name server in a separate network. The thread that starts it moves to that network, and so does everything
// that this thread starts afterwards. Without an answer, a lookup takes the resolver 150 s.
class SilentNameServer {
 public:
  // `folder` is for its resolv.conf. Returns nullopt without the permission to create namespaces.
  static std::optional<SilentNameServer> Start(const std::filesystem::path& folder);

  bool WaitForQuestion(std::chrono::milliseconds timeout) const;

 private:
  explicit SilentNameServer(UniqueFd socket) : socket_(std::move(socket)) {}

  UniqueFd socket_;
};

}  // namespace dicom_sender
