// Lists the files of a session that would not arrive, regardless of the destination, from the ledger. The memory use
// does not depend on their number.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "coordinator/ledger/ledger_reader.h"

namespace dicom_sender {

using UseInstance = std::function<void(const ReportedInstance&)>;

// Files that the scan found to be defective: truncated, without a SOP Instance UID, and the like.
void ForEachDefective(LedgerReader& ledger, const SessionRecord& session, const UseInstance& use);
// Files with the SOP Instance UID of another file, but a different dataset.
void ForEachConflict(LedgerReader& ledger, const SessionRecord& session, const UseInstance& use);

// Files and folders that could not be read.
using UseUnread = std::function<void(const UnreadPath&)>;
void ForEachNotRead(LedgerReader& ledger, const SessionRecord& session, const UseUnread& use);
std::uint64_t CountNotRead(const SessionRecord& session);

// The numbers of files that are not DICOM instances, by reason.
std::map<std::string, std::uint64_t> IgnoredByReason(const SessionRecord& session);

}  // namespace dicom_sender
