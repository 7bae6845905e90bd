// A name server that takes questions and never answers, for tests. Nothing here is for the product.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "common/unique_fd.h"

namespace dicom_sender {

// The only name server in a network of its own, to which the thread that starts it moves, and with it what this
// thread starts from then on. Without another answer, a lookup there takes the resolver 150 s.
class SilentNameServer {
 public:
  // `folder` is for its resolv.conf. nullopt: this process may not make namespaces.
  static std::optional<SilentNameServer> Start(const std::filesystem::path& folder);

  bool WaitForQuestion(std::chrono::milliseconds timeout) const;

 private:
  explicit SilentNameServer(UniqueFd socket) : socket_(std::move(socket)) {}

  UniqueFd socket_;
};

}  // namespace dicom_sender
