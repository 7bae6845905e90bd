// One session of dicom-sender, from its opening to the end of its scan. Sending and the dry run share this part.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "cli/console.h"
#include "common/http_server.h"
#include "common/stop_signal.h"
#include "engine/engine.h"
#include "programs/sender/options.h"
#include "programs/sender/session_files.h"
#include "status_page/status_board.h"

namespace dicom_sender {

// The failure of a session whose scan is complete and found nothing.
Failure NothingFound(const wire::SessionStatus& status);

// Suspends an open session so that it can be resumed. Call it after the coordinator has ended. Returns the session in
// its new state.
SessionRecord SuspendIfOpen(Ledger& ledger, SessionRecord session);

class Session {
 public:
  // Opens log, ledger, metrics and coordinator. Leaves no file behind if it fails.
  static tl::expected<std::unique_ptr<Session>, Failure> Open(const SenderOptions& options, Console& console);
  ~Session();

  const std::string& id() const { return settings_.session(); }
  const wire::OpenSession& settings() const { return settings_; }
  const SessionFiles& files() const { return files_; }
  Engine& engine() { return *engine_; }

  tl::expected<wire::SessionStatus, Failure> Status();
  tl::expected<wire::SessionStatus, Failure> Ask(wire::ClientRequest request);  // its reply must be a status

  void StartIndexer();
  tl::expected<FoundView, Failure> Found(const wire::SessionStatus& status);

  void Stop();  // ends all parts
  // Call these after Stop().
  Ledger& ledger() { return *ledger_; }
  SessionRecord record();
  // Removes the ledger, and the log if `all` is set. Call it after Stop().
  void RemoveFiles(bool all);

 private:
  Session(const SenderOptions& options, Console& console) : options_(options), console_(console) {}
  tl::expected<void, Failure> TryToStart();
  tl::expected<void, Failure> Start();
  tl::expected<void, Failure> Resume();
  void TakeDestination(const SessionRecord& record);

  const SenderOptions& options_;
  Console& console_;
  wire::OpenSession settings_;
  SessionFiles files_;
  bool files_are_new_ = false;
  std::string scan_time_;  // time of the complete scan that this run reuses; empty if it does not
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  std::unique_ptr<Ledger> ledger_;
  StatusBoard board_{std::string(ProgramVersion())};
  std::unique_ptr<HttpServer> http_server_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace dicom_sender
