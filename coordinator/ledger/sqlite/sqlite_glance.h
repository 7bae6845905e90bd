// Reads a session from a ledger file without changing the file, and tells whether another process uses it.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct LedgerGlance {
  bool in_use = false;  // another process has it open
  // Contains only the settings, the state, the times, and the counts of instances. nullopt if the session does not
  // exist, or if the ledger is in use and cannot be read at the moment.
  std::optional<SessionRecord> session;
};

// Reads only one row, so the size of the ledger does not matter. Returns an error if the file is missing, damaged, or
// not a ledger of this release or an earlier one.
tl::expected<LedgerGlance, std::string> GlanceAtSqliteLedger(const std::string& file, const std::string& session);

}  // namespace dicom_sender
