// Child processes and loopback ports for tests. Nothing here is for the product.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dicom_sender {

struct ProcessEnd {
  int exit_status = -1;  // -1: ended by a signal
  int signal = 0;        // 0: ended by itself

  friend bool operator==(const ProcessEnd&, const ProcessEnd&) = default;
};

// One running program. Its standard input is empty; its standard output and error are kept in memory and can be
// read at any time, so a child that writes much is never blocked. Not thread-safe.
class ChildProcess {
 public:
  // `arguments[0]` is the program, looked up in PATH. `environment`: "NAME=value", in addition to (and before) ours.
  // Throws std::system_error if it cannot be started.
  explicit ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});
  // Ends it, if it still runs, by SIGKILL.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t id() const { return id_; }
  // How it ended, once it has; nullopt if it still runs after `timeout`.
  std::optional<ProcessEnd> Wait(std::chrono::milliseconds timeout);
  // What it (and those of its children that it waited for) used; zeros until Wait has seen the end.
  const rusage& Usage() const { return usage_; }
  // Does nothing once Wait has seen the end: the id may be somebody else's by then.
  void Signal(int signal_number);

  std::string Output() const;  // everything it has written so far
  std::string Errors() const;
  // False if `text` appears in neither output nor errors within `timeout`, or the process ends without it.
  bool WaitForText(const std::string& text, std::chrono::milliseconds timeout);

 private:
  pid_t id_ = -1;
  int output_ = -1;  // memory files that the child writes
  int errors_ = -1;
  std::optional<ProcessEnd> end_;
  rusage usage_{};
};

struct ProcessResult {
  std::optional<ProcessEnd> end;  // nullopt: it did not end within the time-out, and was killed
  std::string output;
  std::string errors;
};

// Runs a program to its end.
ProcessResult RunProcess(const std::vector<std::string>& arguments, std::chrono::milliseconds timeout,
                         const std::vector<std::string>& environment = {});

// In PATH or where Debian has its daemons. Empty: it is not installed.
std::string FindProgram(const std::string& name);

// A TCP port of 127.0.0.1 on which nobody listened a moment ago.
std::uint16_t FindFreePort();

// True as soon as a connection to 127.0.0.1:`port` succeeds (it is closed at once).
bool WaitForPort(std::uint16_t port, std::chrono::milliseconds timeout);

}  // namespace dicom_sender
