// Sessions and their scans. LedgerReader and Ledger describe these functions.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/ledger/postgresql/store.h"

namespace dicom_sender::postgresql {

SessionRecord CreateSession(Store& store, const wire::OpenSession& settings, WallTime now);
std::optional<SessionRecord> FindSession(Store& store, std::string_view uuid);
SessionRecord LoadSession(Store& store, SessionKey session);
std::vector<SessionKey> Sessions(Store& store);
void SetSettings(Store& store, SessionKey session, const wire::OpenSession& settings);
void SetSessionState(Store& store, SessionKey session, wire::SessionState state, std::string_view end_reason,
                     WallTime now);
void BeginRun(Store& store, SessionKey session, WallTime now);
void SetEnding(Store& store, SessionKey session, std::optional<wire::SessionState> state);

bool BeginScan(Store& store, SessionKey session, std::string_view indexer, std::uint64_t& scan);
void CompleteScan(Store& store, SessionKey session, std::string_view indexer, std::uint64_t scan,
                  const std::map<std::string, std::uint64_t>& ignored);
void AddUnread(Store& store, SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths);
std::vector<UnreadPath> Unread(Store& store, SessionKey session, std::string_view after, std::size_t limit);
std::vector<ScanRecord> Scans(Store& store, SessionKey session);

}  // namespace dicom_sender::postgresql
