// The sessions whose ledgers are in an output folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/ledger/sqlite/sqlite_glance.h"

namespace dicom_sender {

struct LedgerFile {
  std::string session;  // its UUID, by the file's name
  std::string path;
  std::filesystem::file_time_type written = std::filesystem::file_time_type::min();  // last
};

// What is no ledger by its name is left out. The one that was written last comes first.
std::vector<LedgerFile> LedgersIn(const std::string& output_dir);

struct FolderSession {
  LedgerFile file;
  bool in_use = false;                  // a process works on it
  std::optional<SessionRecord> record;  // nullopt: it cannot be told
  std::string problem;                  // what is wrong with its ledger; empty: nothing
};

// Opens the ledger; changes nothing.
FolderSession LookAt(const LedgerFile& file);

// It was interrupted or has given up: something of it may still be sent.
bool IsUnfinished(const SessionRecord& record);

// The front of the session's id that no other ledger of the folder has, at least 8 characters; all of it if its own
// ledger is not there.
std::string ShortId(const std::string& session, const std::vector<LedgerFile>& files);

// For the command that goes on with the session that was written last: empty if that is the one that --resume takes
// without an id, because no other one is in use.
std::string IdToResume(const std::string& session, const std::string& output_dir);

}  // namespace dicom_sender
