#include "programs/sender/session_folder.h"

#include <algorithm>

#include "common/uuid.h"
#include "programs/sender/session_files.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kShortIdMin = 8;
constexpr std::size_t kLooksMax = 200;  // only the ledgers written last are read

std::optional<LedgerFile> ToLedgerFile(const std::filesystem::path& path) {
  const std::string name = path.filename();
  const SessionFiles example = FilesOf("", "");
  const std::string begin = std::filesystem::path(example.ledger).stem(), end = ".db";
  if (!name.starts_with(begin) || !name.ends_with(end)) return std::nullopt;
  if (name.size() <= begin.size() + end.size()) return std::nullopt;
  LedgerFile file;
  file.session = name.substr(begin.size(), name.size() - begin.size() - end.size());
  if (!IsUuid(file.session)) return std::nullopt;
  file.path = path;
  std::error_code error;
  for (const char* suffix : {"", "-wal"}) {
    const auto written = std::filesystem::last_write_time(path.string() + suffix, error);
    if (!error) file.written = std::max(file.written, written);
  }
  return file;
}

}  // namespace

std::vector<LedgerFile> LedgersIn(const std::string& output_dir) {
  std::vector<LedgerFile> files;
  std::error_code error;
  std::filesystem::directory_iterator entries(output_dir, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (auto file = ToLedgerFile(entries->path())) files.push_back(*std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const LedgerFile& a, const LedgerFile& b) {
    return a.written != b.written ? a.written > b.written : a.session < b.session;
  });
  return files;
}

FolderSession LookAt(const LedgerFile& file) {
  FolderSession session{.file = file, .in_use = false, .record = {}, .problem = {}};
  auto glance = GlanceAtSqliteLedger(file.path, file.session);
  if (!glance) {
    session.problem = std::move(glance.error());
  } else {
    session.in_use = glance->in_use;
    session.record = std::move(glance->session);
  }
  return session;
}

bool IsUnfinished(const SessionRecord& record) {
  return record.state != wire::SESSION_COMPLETE && record.state != wire::SESSION_CANCELLED;
}

std::string ShortId(const std::string& session, const std::vector<LedgerFile>& files) {
  std::size_t length = kShortIdMin;
  bool is_there = false;
  for (const LedgerFile& file : files) {
    is_there |= file.session == session;
    if (file.session == session) continue;
    const auto differs = std::mismatch(session.begin(), session.end(), file.session.begin(), file.session.end());
    length = std::max(length, static_cast<std::size_t>(differs.first - session.begin()) + 1);
  }
  return is_there ? session.substr(0, length) : session;
}

std::string IdToResume(const std::string& session, const std::string& output_dir) {
  const auto files = LedgersIn(output_dir);
  std::string id = ShortId(session, files);
  if (files.size() > kLooksMax || id == session) return id;
  const bool others_run = std::any_of(files.begin(), files.end(), [&](const LedgerFile& file) {
    return file.session != session && LookAt(file).in_use;
  });
  return others_run ? id : std::string();
}

}  // namespace dicom_sender
