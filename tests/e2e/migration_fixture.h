// A migration that several programs share, as on several machines: a coordinator, indexers, workers, and a
// destination. A test can start, kill, pause, and resume each of them. If a test fails, it shows their logs.
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

inline constexpr std::chrono::seconds kPatience(60);  // for every expected event, sanitizers included

using Words = std::vector<std::string>;

// Returns true as soon as `condition` holds, and false if it does not within `timeout`.
bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds timeout = kPatience);

// A command that can be run several times, one life after another.
class Program {
 public:
  Program(std::string name, Words command) : name_(std::move(name)), command_(std::move(command)) {}

  // Must not be called while it runs.
  void Start();
  void Signal(int signal_number) { process_->Signal(signal_number); }
  // Sends SIGKILL and waits until the process has ended.
  void Kill();
  // Returns the exit status. Fails the test if the process does not end or a signal ends it.
  int Wait(std::chrono::milliseconds timeout = kPatience);
  int Stop();  // sends SIGTERM and calls Wait
  bool EndsWithin(std::chrono::milliseconds timeout) { return process_->Wait(timeout).has_value(); }
  bool WaitForText(const std::string& text) { return process_->WaitForText(text, kPatience); }  // in this life
  std::string Output() const { return process_->Output(); }                                     // in this life
  std::string Errors() const { return process_->Errors(); }                                     // in this life
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

  // Creates the program without starting it. `more` may replace --coordinator, --ledger, --bind, and --lease-ttl.
  Program& Coordinator(const Words& more = {});
  Program& Worker(const std::string& name, const Words& more = {});
  Program& Indexer(const Words& more);
  Program& Add(std::string name, Words command);
  // The indexer's options for a session that sends data() to destination_.
  Words NewSession(const Words& more = {}, const std::string& host = "127.0.0.1") const;

  // Starts the coordinator and waits until it listens.
  Program& StartCoordinator(const Words& more = {});
  static void StartAndListen(Program& coordinator);
  Program& StartWorker(const std::string& name, const Words& more = {});
  // Begins a session that sends data() to destination_ and waits until everything is published. Returns its id.
  std::string Feed(const Words& more = {}, const std::string& host = "127.0.0.1");
  static std::string SessionOf(Program& indexer);  // waits until it is printed

  ProcessResult Ctl(const Words& words) const;
  rapidjson::Document CtlJson(const Words& words) const;  // fails the test unless the command succeeds
  std::string StateOf(const std::string& session) const;
  // Waits until the coordinator has written its summary, and returns it.
  rapidjson::Document SummaryAtEnd(const std::string& session, std::chrono::milliseconds timeout = kPatience) const;
  std::filesystem::path SummaryFile(const std::string& session) const;

  // Reads the endpoint that --metrics of a coordinator or worker serves.
  static std::string Get(std::uint16_t port, const std::string& path);
  static int Status(std::uint16_t port, const std::string& path);
  static double Metric(std::uint16_t port, const std::string& name);  // `name` includes labels; -1 if it is missing

  bool WaitUntilStored(std::uint64_t instances) const;
  // Returns the SOP Instance UIDs that are stored according to the ledger. Stops the coordinator.
  virtual std::set<std::string> StoredByLedger(const std::string& session);
  // Expects everything at the destination, and the same in the summary and the ledger. Returns the number of surplus
  // success responses.
  std::uint64_t ExpectAllStored(const std::string& session, const std::vector<ExampleInstance>& instances);

  TemporaryFolder folder_;
  ReservedPort coordinator_port_, destination_port_;
  TestDestination destination_;
  std::vector<std::unique_ptr<Program>> programs_;  // in the order of their creation
  Program* coordinator_ = nullptr;                  // the latest one

 private:
  static DestinationOptions At(const ReservedPort& port, DestinationOptions options) {
    options.port = port.number();
    return options;
  }
};

}  // namespace dicom_sender
