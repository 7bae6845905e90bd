// A migration shared among programs, as on several machines: a coordinator, indexers, workers and a destination, each
// started, killed, stopped and continued as the test wants. What they logged is shown where a test fails.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <csignal>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/e2e/records.h"
#include "tests/support/example_studies.h"
#include "tests/support/network.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {

inline constexpr std::chrono::seconds kPatience(60);  // for what must come, sanitizers included

using Words = std::vector<std::string>;

// True as soon as `condition` holds; false if it does not within `timeout`.
bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds timeout = kPatience);

// A command and its lives, one after another.
class Program {
 public:
  Program(std::string name, Words command) : name_(std::move(name)), command_(std::move(command)) {}

  // Not while it runs.
  void Start();
  void Signal(int signal_number) { process_->Signal(signal_number); }
  // By SIGKILL; it is gone when this returns.
  void Kill();
  // The exit status; a failure of the test if it does not end, or by a signal.
  int Wait(std::chrono::milliseconds timeout = kPatience);
  int Stop();  // SIGTERM and Wait
  bool EndsWithin(std::chrono::milliseconds timeout) { return process_->Wait(timeout).has_value(); }
  bool WaitForText(const std::string& text) { return process_->WaitForText(text, kPatience); }  // in this life
  std::string Output() const { return process_->Output(); }                                     // of this life
  std::string Errors() const { return process_->Errors(); }                                     // the same
  std::string AllErrors() const;
  const std::string& name() const { return name_; }
  const Words& command() const { return command_; }

 private:
  const std::string name_;
  const Words command_;
  std::string earlier_errors_;
  std::unique_ptr<ChildProcess> process_;
};

class MigrationTest : public testing::Test {
 protected:
  explicit MigrationTest(DestinationOptions options = {}) : destination_(At(destination_port_, options)) {}
  void TearDown() override;

  std::filesystem::path data() const { return folder_ / "data"; }
  std::filesystem::path out() const { return folder_ / "out"; }
  std::filesystem::path ledger() const { return folder_ / "ledger.db"; }
  std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(coordinator_port_.number()); }

  void StartDestination(DestinationBehaviour behaviour = {});

  // The program, not started. Whoever wants another --coordinator, --ledger, --bind or --lease-ttl gives it in
  // `more`.
  Program& Coordinator(const Words& more = {});
  Program& Worker(const std::string& name, const Words& more = {});
  Program& Indexer(const Words& more);
  Program& Add(std::string name, Words command);
  // The indexer's options for a session of data() to destination_.
  Words NewSession(const Words& more = {}, const std::string& host = "127.0.0.1") const;

  // Started; the coordinator listens.
  Program& StartCoordinator(const Words& more = {});
  static void StartAndListen(Program& coordinator);
  Program& StartWorker(const std::string& name, const Words& more = {});
  // Begins a session of data() to destination_ and waits until everything is with the coordinator. Returns its id.
  std::string Feed(const Words& more = {}, const std::string& host = "127.0.0.1");
  static std::string SessionOf(Program& indexer);  // as soon as it has printed it

  ProcessResult Ctl(const Words& words) const;
  rapidjson::Document CtlJson(const Words& words) const;  // a failure unless the command succeeds
  std::string StateOf(const std::string& session) const;
  // Until the coordinator has written its summary, which is returned.
  rapidjson::Document SummaryAtEnd(const std::string& session, std::chrono::milliseconds timeout = kPatience) const;
  std::filesystem::path SummaryFile(const std::string& session) const;

  // Of what the coordinator or a worker serves by --metrics.
  static std::string Get(std::uint16_t port, const std::string& path);
  static int Status(std::uint16_t port, const std::string& path);
  static double Metric(std::uint16_t port, const std::string& name);  // with its labels; -1 if it is not there

  bool WaitUntilStored(std::uint64_t instances) const;
  // The SOP Instance UIDs that the ledger calls stored. Stops the coordinator.
  virtual std::set<std::string> StoredByLedger(const std::string& session);
  // Everything is at the destination, and the summary and the ledger say so. Returns how many answers of success were
  // more than one for an instance.
  std::uint64_t ExpectAllStored(const std::string& session, const std::vector<ExampleInstance>& instances);

  TemporaryFolder folder_;
  ReservedPort coordinator_port_, destination_port_;
  TestDestination destination_;
  std::vector<std::unique_ptr<Program>> programs_;  // in the order of their making
  Program* coordinator_ = nullptr;                  // the last one

 private:
  static DestinationOptions At(const ReservedPort& port, DestinationOptions options) {
    options.port = port.number();
    return options;
  }
};

}  // namespace dicom_sender
