// Reads a ledger on disk while no program has it open. This is a separate header because the ledger's clock and the
// test destination's have the same name.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

namespace dicom_sender {

// Returns the SOP Instance UIDs that are stored according to the session, with or without a warning; nullopt if the
// ledger does not contain the session. Reads a copy of the ledger in `scratch`, so the ledger is not changed. Throws
// std::runtime_error if it is damaged.
std::optional<std::set<std::string>> StoredInLedger(const std::filesystem::path& ledger, const std::string& session,
                                                    const std::filesystem::path& scratch);

}  // namespace dicom_sender
