#include "programs/indexer/dry_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "common/uuid.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "engine/engine.h"
#include "preflight/report.h"
#include "preflight/scan.h"
#include "programs/indexer/program.h"
#include "session/session_settings.h"

namespace dicom_sender {
namespace {

// Holds the ledger during the scan. The ledger may be large, so it is in /var/tmp: /tmp is often in memory.
class LedgerFolder {
 public:
  LedgerFolder() {
    const char* parent = std::getenv("TMPDIR");
    path_ = fmt::format("{}/dicom_indexer_XXXXXX", parent != nullptr && *parent != '\0' ? parent : "/var/tmp");
    if (mkdtemp(path_.data()) == nullptr) error_ = errno;
  }
  ~LedgerFolder() {
    std::error_code ignored;
    if (error_ == 0) std::filesystem::remove_all(path_, ignored);
  }
  LedgerFolder(const LedgerFolder&) = delete;
  LedgerFolder& operator=(const LedgerFolder&) = delete;

  tl::expected<std::string, Failure> Ledger() const {
    if (error_ == 0) return path_ + "/ledger.db";
    return tl::unexpected(Failure{
        kExitCannotWrite, fmt::format("{}: cannot be created: {}; set TMPDIR", path_, std::strerror(error_))});
  }

 private:
  std::string path_;
  int error_ = 0;
};

tl::expected<void, Failure> Scan(const IndexerProgramOptions& options, const wire::OpenSession& settings,
                                 Ledger& ledger, StopSignals& signals, Console& console) {
  prometheus::Registry registry;
  Engine engine(ledger, {}, registry, {});
  wire::ClientRequest request;
  *request.mutable_open_session() = settings;
  if (const auto opened = engine.Ask(std::move(request)); !opened) return tl::unexpected(opened.error());
  engine.StartIndexer({.session = settings.session(),
                       .name = {},
                       .inputs = {settings.inputs().begin(), settings.inputs().end()},
                       .recursive = settings.recursive(),
                       .threads = options.scan_threads,
                       .publish_folders = false});
  return WaitForScan(engine, signals, console);
}

tl::expected<int, Failure> Run(const IndexerProgramOptions& options, StopSignals& signals, Console& console) {
  const LedgerFolder folder;
  const auto file = folder.Ledger();
  if (!file) return tl::unexpected(file.error());
  const auto ledger = OpenSqliteLedger(*file);
  if (!ledger) return tl::unexpected(Failure{kExitCannotWrite, ledger.error()});
  const wire::OpenSession settings = NewSessionSettings(options, NewUuid());
  if (auto scanned = Scan(options, settings, **ledger, signals, console); !scanned) {
    return tl::unexpected(std::move(scanned.error()));
  }
  SessionRecord session = (*ledger)->FindSession(settings.session()).value();
  const Preflight preflight = MakePreflight(**ledger, std::move(session), signals.stop_token());
  if (preflight.session.counts.total == 0) return tl::unexpected(Failure{kExitUsage, NothingFoundIn(settings)});
  const ReportContext context{
      .log_file = options.service.log_file.value_or(""), .scan_is_kept = false, .send_command = {}};
  return ReportPreflight(preflight, **ledger, options.format, context, STDOUT_FILENO, console);
}

}  // namespace

int RunIndexerDry(const IndexerProgramOptions& options, StopSignals& signals, Console& console) {
  const auto exit_status = Run(options, signals, console);
  if (exit_status) return *exit_status;
  console.EndProgress();
  console.Error(exit_status.error().sentence);
  return exit_status.error().exit_status;
}

}  // namespace dicom_sender
