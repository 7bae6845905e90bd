// The sessions whose ledgers are in an output folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/ledger/sqlite/sqlite_glance.h"

namespace dicom_sender {

struct LedgerFile {
  std::string session;  // its UUID, from the file's name
  std::string path;
  std::filesystem::file_time_type written = std::filesystem::file_time_type::min();  // the latest write
};

// Lists files with a ledger's name, the one written last first.
std::vector<LedgerFile> LedgersIn(const std::string& output_dir);

struct FolderSession {
  LedgerFile file;
  bool in_use = false;                  // by a running process
  std::optional<SessionRecord> record;  // nullopt if it cannot be read
  std::string problem;                  // what is wrong with its ledger; empty if nothing is
};

// Opens the ledger and changes nothing.
FolderSession LookAt(const LedgerFile& file);

// True if the session was interrupted or gave up, so that instances of it may still be sent.
bool IsUnfinished(const SessionRecord& record);

// The shortest unique beginning of the session's ID among the ledgers of the folder, at least 8 characters; the whole
// ID if the session's own ledger is missing.
std::string ShortId(const std::string& session, const std::vector<LedgerFile>& files);

// The ID for the command that resumes the session: empty if --resume without an ID finds this session, because it was
// written last and no other one is in use.
std::string IdToResume(const std::string& session, const std::string& output_dir);

}  // namespace dicom_sender
