#include "coordinator/ledger/hashes.h"

#include <algorithm>

namespace dicom_sender {
namespace {

// FNV-1a, folded to 32 bits.
std::uint32_t Hash(std::string_view bytes) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

std::int64_t Join(std::uint32_t high, std::uint32_t low) {
  return static_cast<std::int64_t>(std::uint64_t{high} << 32 | low);
}

}  // namespace

std::int64_t PathHash(std::string_view root, std::string_view path) { return Join(Hash(root), Hash(path)); }

// The UIDs of a series share a prefix. With the hash of the prefix first, they stay close together in the index.
std::int64_t UidHash(std::string_view uid) {
  const std::size_t dot = std::min(uid.rfind('.'), uid.size());
  return Join(Hash(uid.substr(0, dot)), Hash(uid.substr(dot)));
}

std::int64_t IndexerHash(std::string_view name) {
  return Join(Hash(name.substr(0, name.size() / 2)), Hash(name.substr(name.size() / 2)));
}

}  // namespace dicom_sender
