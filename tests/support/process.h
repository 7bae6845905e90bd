// Child processes and loopback ports, for tests only.
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
  int exit_status = -1;  // -1: a signal ended it
  int signal = 0;        // 0: no signal ended it

  friend bool operator==(const ProcessEnd&, const ProcessEnd&) = default;
};

// A running program. Its standard input is empty. Its standard output and error are captured in memory and can be
// read at any time, so the child never blocks on a pipe. Not thread-safe.
class ChildProcess {
 public:
  // `arguments[0]` is the program, which is looked up in PATH. `environment`: "NAME=value", added to (and before) the
  // environment of this process. Throws std::system_error if it cannot be started.
  explicit ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});
  // Kills it with SIGKILL if it is still running.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t id() const { return id_; }
  // Returns how it ended; nullopt if it is still running after `timeout`.
  std::optional<ProcessEnd> Wait(std::chrono::milliseconds timeout);
  // Returns the resources that the process and its awaited children used; zeros until Wait has seen the end.
  const rusage& Usage() const { return usage_; }
  // Does nothing once Wait has seen the end, because another process may have the id by then.
  void Signal(int signal_number);

  std::string Output() const;  // all output so far
  std::string Errors() const;
  // Returns false if `text` appears in neither output nor errors within `timeout`, or the process ends without it.
  bool WaitForText(const std::string& text, std::chrono::milliseconds timeout);

 private:
  pid_t id_ = -1;
  int output_ = -1;  // in-memory files that the child writes
  int errors_ = -1;
  std::optional<ProcessEnd> end_;
  rusage usage_{};
};

struct ProcessResult {
  std::optional<ProcessEnd> end;  // nullopt: killed after the time-out
  std::string output;
  std::string errors;
};

// Runs a program to its end.
ProcessResult RunProcess(const std::vector<std::string>& arguments, std::chrono::milliseconds timeout,
                         const std::vector<std::string>& environment = {});

// Searches PATH and Debian's folders for daemons. Empty if it is not installed.
std::string FindProgram(const std::string& name);

// Returns a TCP port of 127.0.0.1 that was free a moment ago.
std::uint16_t FindFreePort();

// Returns true as soon as a connection to 127.0.0.1:`port` succeeds. Closes it at once.
bool WaitForPort(std::uint16_t port, std::chrono::milliseconds timeout);

}  // namespace dicom_sender
