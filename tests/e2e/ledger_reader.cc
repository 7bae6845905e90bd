#include "tests/e2e/ledger_reader.h"

#include <array>
#include <stdexcept>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"

namespace dicom_sender {

namespace fs = std::filesystem;

std::optional<std::set<std::string>> StoredInLedger(const fs::path& ledger, const std::string& session,
                                                    const fs::path& scratch) {
  fs::remove_all(scratch);
  fs::create_directories(scratch);
  for (const char* suffix : {"", "-wal"}) {  // SQLite's write-ahead log may hold the newest changes
    const std::string file = ledger.string() + suffix;
    if (fs::exists(file)) fs::copy_file(file, scratch / fs::path(file).filename());
  }
  const auto opened = OpenSqliteLedger(scratch / ledger.filename());
  if (!opened) throw std::runtime_error(opened.error());
  const auto record = (*opened)->FindSession(session);
  if (!record) return std::nullopt;
  constexpr std::array kStates = {InstanceState::kStored, InstanceState::kStoredWithWarning};
  constexpr std::size_t kAll = 1'000'000;
  std::set<std::string> stored;
  for (const auto& instance : (*opened)->Report(record->key, kStates, {}, kAll)) {
    stored.insert(instance.sop_instance_uid);
  }
  return stored;
}

}  // namespace dicom_sender
