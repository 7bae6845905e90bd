#include "coordinator/service/refusal_log.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace dicom_sender {
namespace {

constexpr std::chrono::minutes kEvery(1);

// The channel's name of a connection is bytes.
std::string Readable(const std::string& peer) {
  std::string out;
  for (const char c : peer) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

}  // namespace

bool RefusalLog::Log(const std::string& peer, std::string_view reason, TimePoint now) {
  if (logged_.size() >= kPeersMax) {
    std::erase_if(logged_, [now](const auto& entry) { return now >= entry.second + kEvery; });
  }
  const auto known = logged_.find(peer);
  if (known != logged_.end() && now < known->second + kEvery) return false;
  if (known == logged_.end() && logged_.size() >= kPeersMax) return false;
  logged_[peer] = now;
  spdlog::warn("A message of peer {} was refused: {}", Readable(peer), reason);
  return true;
}

}  // namespace dicom_sender
