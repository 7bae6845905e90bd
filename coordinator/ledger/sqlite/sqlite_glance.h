// A look at a ledger file that changes nothing in it: what its sessions are, and whether a process uses it.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct LedgerGlance {
  bool in_use = false;  // another process has it open
  // The settings, the state, the times, and the counts of instances; nothing else is filled in. Nullopt if the ledger
  // has no such session, or if it is in use and cannot be read at this moment.
  std::optional<SessionRecord> session;
};

// Reads one row, however large the ledger is. The error: the file is missing, or not a sound ledger of this release
// or an earlier one.
tl::expected<LedgerGlance, std::string> GlanceAtSqliteLedger(const std::string& file, const std::string& session);

}  // namespace dicom_sender
