// What a ledger on disk says, read while no program has it open. In a file of its own: the ledger's clock and the
// test destination's have the same name.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

namespace dicom_sender {

// The SOP Instance UIDs that the session calls stored, with or without a warning; nullopt if the ledger does not know
// the session. The ledger is read from a copy in `scratch`, and stays as it is. Throws std::runtime_error if it is
// damaged.
std::optional<std::set<std::string>> StoredInLedger(const std::filesystem::path& ledger, const std::string& session,
                                                    const std::filesystem::path& scratch);

}  // namespace dicom_sender
