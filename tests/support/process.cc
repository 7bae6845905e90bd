#include "tests/support/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <sstream>
#include <system_error>
#include <thread>

#include "tests/support/network.h"

extern char** environ;

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPollInterval{2};

[[noreturn]] void Throw(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

// Polls until `condition` holds or the time is over.
template <typename Condition>
bool WaitUntil(milliseconds timeout, Condition condition) {
  const auto deadline = steady_clock::now() + timeout;
  while (!condition()) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPollInterval);
  }
  return true;
}

// Uses pread because the file offset is shared with the child, which needs it for its writes.
std::string ReadAll(int fd) {
  std::string content;
  char buffer[65536];
  while (true) {
    const ssize_t count = ::pread(fd, buffer, sizeof buffer, static_cast<off_t>(content.size()));
    if (count <= 0) return content;
    content.append(buffer, static_cast<std::size_t>(count));
  }
}

int MemoryFile(const char* name) {
  const int fd = ::memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) Throw(errno, "memfd_create");
  return fd;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);  // callers append a null pointer
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  return pointers;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  output_ = MemoryFile("stdout");
  errors_ = MemoryFile("stderr");
  std::vector<char*> argv = Pointers(arguments);
  argv.push_back(nullptr);
  std::vector<char*> envp = Pointers(environment);
  for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
  envp.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output_, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, errors_, STDERR_FILENO);
  const int error = ::posix_spawnp(&id_, argv[0], &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    ::close(output_);
    ::close(errors_);
    Throw(error, "cannot start " + arguments.at(0));
  }
}

ChildProcess::~ChildProcess() {
  if (!end_) {
    Signal(SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
  ::close(output_);
  ::close(errors_);
}

std::optional<ProcessEnd> ChildProcess::Wait(milliseconds timeout) {
  WaitUntil(timeout, [this] {
    int status = 0;
    if (!end_ && ::wait4(id_, &status, WNOHANG, &usage_) == id_) {
      end_ = WIFEXITED(status) ? ProcessEnd{WEXITSTATUS(status), 0} : ProcessEnd{-1, WTERMSIG(status)};
    }
    return end_.has_value();
  });
  return end_;
}

void ChildProcess::Signal(int signal_number) {
  if (!end_) ::kill(id_, signal_number);
}

std::string ChildProcess::Output() const { return ReadAll(output_); }

std::string ChildProcess::Errors() const { return ReadAll(errors_); }

bool ChildProcess::WaitForText(const std::string& text, milliseconds timeout) {
  bool found = false;
  WaitUntil(timeout, [&] {
    const bool ended = Wait(milliseconds(0)).has_value();  // checked first, so that the last output is not missed
    found = Output().find(text) != std::string::npos || Errors().find(text) != std::string::npos;
    return found || ended;
  });
  return found;
}

ProcessResult RunProcess(const std::vector<std::string>& arguments, milliseconds timeout,
                         const std::vector<std::string>& environment) {
  ChildProcess child(arguments, environment);
  const std::optional<ProcessEnd> end = child.Wait(timeout);
  return {end, child.Output(), child.Errors()};
}

std::string FindProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/usr/local/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string program = fmt::format("{}/{}", folder, name);
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

std::uint16_t FindFreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Throw(errno, "socket");
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int error = errno;
  ::close(fd);
  if (!bound) Throw(error, "cannot bind a loopback port");
  return ntohs(address.sin_port);
}

bool WaitForPort(std::uint16_t port, milliseconds timeout) {
  return WaitUntil(timeout, [port] {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) Throw(errno, "socket");
    const sockaddr_in address = Loopback(port);
    const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return connected;
  });
}

}  // namespace dicom_sender
