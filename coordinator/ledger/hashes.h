// Hashes that a ledger uses to look up files and indexers. They are stored, so these functions must not change.
// Different values may have the same hash.
#pragma once

#include <cstdint>
#include <string_view>

namespace dicom_sender {

std::int64_t PathHash(std::string_view root, std::string_view path);
std::int64_t UidHash(std::string_view uid);
std::int64_t IndexerHash(std::string_view name);

}  // namespace dicom_sender
