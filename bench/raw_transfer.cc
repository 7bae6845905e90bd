// raw-transfer: measures what the machine can do without DICOM. Sends the files of a folder over one connection with
// sendfile(2). Each file is preceded by its length and acknowledged with one byte.
//
//   raw-transfer receive PORT     until SIGTERM; then prints "received N"
//   raw-transfer send PORT FOLDER
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "common/unique_fd.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{512} * 1024;  // as in the test destination

void Check(bool is_good, const char* what) {
  if (!is_good) throw std::system_error(errno, std::generic_category(), what);
}

UniqueFd Socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Check(fd.valid(), "socket");
  const int on = 1;
  Check(::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "setsockopt");
  Check(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0, "setsockopt");
  return fd;
}

sockaddr_in Loopback(const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  return address;
}

// Returns false at the end of the connection.
bool ReceiveAll(int socket, void* to, std::size_t size) {
  return ::recv(socket, to, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

volatile std::sig_atomic_t stopped = 0;

void Serve(int socket, std::uint64_t& received) {
  std::vector<char> buffer(kBufferBytes);
  for (std::uint64_t size = 0; ReceiveAll(socket, &size, sizeof size); ++received) {
    while (size > 0) {
      const ssize_t count = ::recv(socket, buffer.data(), std::min<std::uint64_t>(size, buffer.size()), 0);
      if (count <= 0) return;
      size -= static_cast<std::uint64_t>(count);
    }
    Check(::send(socket, "+", 1, MSG_NOSIGNAL) == 1, "send");
  }
}

int Receive(const std::string& port) {
  struct sigaction action {};
  action.sa_handler = [](int /*signal*/) { stopped = 1; };  // without SA_RESTART, so that accept returns
  ::sigaction(SIGTERM, &action, nullptr);
  const UniqueFd listener = Socket();
  const sockaddr_in address = Loopback(port);
  Check(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "bind");
  Check(::listen(listener.get(), 1) == 0, "listen");
  std::uint64_t received = 0;
  while (stopped == 0) {
    const UniqueFd connection(::accept(listener.get(), nullptr, nullptr));
    if (connection.valid()) Serve(connection.get(), received);
  }
  std::printf("received %llu\n", static_cast<unsigned long long>(received));
  return 0;
}

void SendOne(int socket, const std::filesystem::path& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Check(file.valid(), "open");
  struct stat status {};
  Check(::fstat(file.get(), &status) == 0, "fstat");
  auto left = static_cast<std::uint64_t>(status.st_size);
  Check(::send(socket, &left, sizeof left, MSG_MORE | MSG_NOSIGNAL) == sizeof left, "send");
  while (left > 0) {
    const ssize_t sent = ::sendfile(socket, file.get(), nullptr, left);
    Check(sent > 0, "sendfile");
    left -= static_cast<std::uint64_t>(sent);
  }
  char answer = 0;
  if (!ReceiveAll(socket, &answer, 1)) throw std::runtime_error("no answer");
}

int Send(const std::string& port, const std::filesystem::path& folder) {
  const UniqueFd socket = Socket();
  const sockaddr_in address = Loopback(port);
  Check(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) SendOne(socket.get(), entry.path());
  }
  return 0;
}

}  // namespace
}  // namespace dicom_sender

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() == 2 && arguments[0] == "receive") return dicom_sender::Receive(arguments[1]);
    if (arguments.size() == 3 && arguments[0] == "send") return dicom_sender::Send(arguments[1], arguments[2]);
    std::fprintf(stderr, "raw-transfer receive PORT | raw-transfer send PORT FOLDER\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "raw-transfer: %s\n", error.what());
  }
  return 1;
}
