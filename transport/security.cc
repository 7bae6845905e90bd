#include "transport/security.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace dicom_sender {
namespace {

constexpr std::size_t kKeyCharacters = 40;
constexpr std::size_t kKeyBytes = 32;

// The frames of a ZAP request, after the sender's name and an empty one.
constexpr std::string_view kZapVersion = "1.0";
constexpr std::size_t kZapVersionAt = 2;
constexpr std::size_t kZapRequestId = 3;
constexpr std::size_t kZapAddress = 5;
constexpr std::size_t kZapMechanism = 7;
constexpr std::size_t kZapCredentials = 8;
constexpr std::size_t kZapFrames = 9;
// "Temporary failure": the client tries again after its handshake times out, so its key may be added meanwhile. After
// a 400, libzmq's clients never try again.
constexpr const char* kZapRefusal = "300";

constexpr std::string_view kPublicTitle = "# Public key of dicom-sender: may be given to anybody.";
constexpr std::string_view kSecretTitle = "# Secret key of dicom-sender: must stay where it is used.";
constexpr std::string_view kZ85 =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

std::string ErrnoText() { return std::strerror(errno); }

// Writes a new file. Leaves no file after an error.
tl::expected<void, std::string> WriteNewFile(const std::string& file, const std::string& text, mode_t mode) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0 && errno == EEXIST) {
    return tl::unexpected(fmt::format("'{}' exists and is not overwritten: choose another name, or remove it", file));
  }
  if (fd < 0) return tl::unexpected(fmt::format("'{}' cannot be created: {}", file, ErrnoText()));
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const std::string reason = written ? "" : ErrnoText();
  close(fd);
  if (written) return {};
  unlink(file.c_str());
  return tl::unexpected(fmt::format("'{}' cannot be written: {}", file, reason));
}

struct FileText {
  std::string text;
  mode_t mode = 0;
};

tl::expected<FileText, std::string> ReadSmallFile(const std::string& file) {
  // O_NONBLOCK, because opening a named pipe would wait for its other end.
  const int fd = open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(fmt::format("'{}' cannot be opened: {}", file, ErrnoText()));
  struct stat status {};
  FileText read_back{.text = std::string(kKeyFileBytesMax + 1, '\0')};
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = regular ? read(fd, read_back.text.data(), read_back.text.size()) : 0;
  const std::string reason = size < 0 ? ErrnoText() : "";
  close(fd);
  if (!regular) return tl::unexpected(fmt::format("'{}' is not a regular file: name a key file", file));
  if (size < 0) return tl::unexpected(fmt::format("'{}' cannot be read: {}", file, reason));
  if (static_cast<std::size_t>(size) > kKeyFileBytesMax) {
    return tl::unexpected(fmt::format("'{}' is longer than {} bytes: it is not a key file", file, kKeyFileBytesMax));
  }
  read_back.text.resize(static_cast<std::size_t>(size));
  read_back.mode = status.st_mode;
  return read_back;
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// Says what is wrong with a line that should be a key. Never quotes the line, because it may be secret.
std::optional<std::string> DefectOfKey(const std::string& line) {
  if (line.size() != kKeyCharacters) {
    return fmt::format("a key has {} characters, not {}", kKeyCharacters, line.size());
  }
  if (line.find_first_not_of(kZ85) != std::string::npos) return "a character in its key does not belong to Z85";
  std::array<std::uint8_t, kKeyBytes> bytes{};
  if (!zmq_z85_decode(bytes.data(), line.c_str())) return "its key is not a Z85 number";
  return std::nullopt;
}

// Reads the lines below the title, which are keys.
tl::expected<std::vector<std::string>, std::string> KeysOf(const std::string& file, const std::string& text,
                                                           std::size_t count) {
  auto lines = Lines(text);
  lines.erase(lines.begin());
  if (lines.size() != count) {
    return tl::unexpected(
        fmt::format("'{}' is damaged: {} lines follow its first, not {}: copy it again", file, lines.size(), count));
  }
  for (const auto& line : lines) {
    if (const auto defect = DefectOfKey(line)) {
      return tl::unexpected(fmt::format("'{}' is damaged: {}: copy it again", file, *defect));
    }
  }
  return lines;
}

std::string NoKeyFile(const std::string& file) {
  return fmt::format("'{}' is not a key file of dicom-sender: make one with 'dicom-ctl keygen'", file);
}

std::string ToZ85(const std::string& key_bytes) {
  std::array<char, kKeyCharacters + 1> text{};
  zmq_z85_encode(text.data(), reinterpret_cast<const std::uint8_t*>(key_bytes.data()), kKeyBytes);
  return text.data();
}

// Removes the prefix that a socket for both families puts before IPv4 addresses.
std::string_view WithoutV4Prefix(std::string_view address) {
  constexpr std::string_view kPrefix = "::ffff:";
  return address.starts_with(kPrefix) ? address.substr(kPrefix.size()) : address;
}

// Receives the frames of one message. Discards frames beyond `most`.
std::vector<std::string> ReceiveFrames(zmq::socket_t& socket, std::size_t most) {
  std::vector<std::string> frames;
  zmq::message_t frame;
  do {
    if (!socket.recv(frame, zmq::recv_flags::dontwait)) break;
    if (frames.size() < most) frames.push_back(frame.to_string());
  } while (frame.more());
  return frames;
}

// Runs `step` until it returns false or the context ends. Continues after signals.
template <typename Step>
void Repeat(Step step) {
  for (bool more = true; more;) {
    try {
      more = step();
    } catch (const zmq::error_t& error) {
      if (error.num() == EINTR) continue;
      if (error.num() != ETERM) spdlog::error("The check of client keys has ended: {}", error.what());
      return;
    }
  }
}

std::string HandshakeSentence(const std::string& endpoint, std::uint32_t error) {
  if (error == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
    return fmt::format("a client without a key was refused at {}: start it with --server-key and --client-key",
                       endpoint);
  }
  if (error == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC) {
    return fmt::format(
        "a client with another coordinator's key was refused at {}: give it this coordinator's public key as "
        "--server-key",
        endpoint);
  }
  return fmt::format("a client was refused at {}: it does not speak the protocol (ZeroMQ error {:#x})", endpoint,
                     error);
}

// A client without a key often detects that this side requires one before this side detects that it has none.
std::string HungUpSentence(const std::string& endpoint) {
  return fmt::format("a client hung up at {} before it had shown a key: start it with --server-key and --client-key",
                     endpoint);
}

// Lists the files of a folder that should be public keys.
tl::expected<std::vector<std::string>, std::string> ListKeyFiles(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> files;
  int seen = 0;
  for (std::filesystem::directory_iterator entry(dir, error), end; !error && entry != end; entry.increment(error)) {
    if (++seen > kClientKeyFilesMax) {
      return tl::unexpected(
          fmt::format("'{}' holds more than {} files: keep only the keys of clients there", dir, kClientKeyFilesMax));
    }
    if (entry->path().extension() == ".key") files.push_back(entry->path().string());
  }
  if (error) return tl::unexpected(fmt::format("'{}' cannot be read as a folder of keys: {}", dir, error.message()));
  return files;
}

bool IsLoopbackV4(const std::string& host) {
  in_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool IsLoopbackV6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
}

}  // namespace

tl::expected<KeyFiles, std::string> MakeKeyFiles(const std::string& dir, const std::string& name) {
  if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos) {
    return tl::unexpected(
        fmt::format("'{}' is not a name for a key: use one without '/' that does not begin with a dot", name));
  }
  std::array<char, kKeyCharacters + 1> public_key{};
  std::array<char, kKeyCharacters + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    return tl::unexpected(
        std::string("the installed libzmq does not support CURVE: install one that was built with libsodium"));
  }
  const auto base = std::filesystem::path(dir) / name;
  KeyFiles files{.public_file = base.string() + ".key", .secret_file = base.string() + ".key_secret"};
  const auto secret = WriteNewFile(
      files.secret_file, fmt::format("{}\n{}\n{}\n", kSecretTitle, public_key.data(), secret_key.data()), 0600);
  if (!secret) return tl::unexpected(secret.error());
  const auto shared = WriteNewFile(files.public_file, fmt::format("{}\n{}\n", kPublicTitle, public_key.data()), 0644);
  if (shared) return files;
  unlink(files.secret_file.c_str());
  return tl::unexpected(shared.error());
}

tl::expected<std::string, std::string> ReadPublicKey(const std::string& file) {
  const auto read_back = ReadSmallFile(file);
  if (!read_back) return tl::unexpected(read_back.error());
  if (read_back->text.starts_with(kSecretTitle)) {
    return tl::unexpected(
        fmt::format("'{}' is a secret key file where a public one is needed: give the .key file", file));
  }
  if (!read_back->text.starts_with(kPublicTitle)) return tl::unexpected(NoKeyFile(file));
  auto keys = KeysOf(file, read_back->text, 1);
  if (!keys) return tl::unexpected(keys.error());
  return keys->front();
}

tl::expected<KeyPair, std::string> ReadKeyPair(const std::string& file) {
  const auto read_back = ReadSmallFile(file);
  if (!read_back) return tl::unexpected(read_back.error());
  if (read_back->text.starts_with(kPublicTitle)) {
    return tl::unexpected(
        fmt::format("'{}' is a public key file where a secret one is needed: give the .key_secret file", file));
  }
  if (!read_back->text.starts_with(kSecretTitle)) return tl::unexpected(NoKeyFile(file));
  if (read_back->mode & (S_IRWXG | S_IRWXO)) {
    return tl::unexpected(fmt::format("'{}' is accessible to users other than its owner: chmod 600 it", file));
  }
  auto keys = KeysOf(file, read_back->text, 2);
  if (!keys) return tl::unexpected(keys.error());
  std::array<char, kKeyCharacters + 1> derived{};
  if (zmq_curve_public(derived.data(), keys->back().c_str()) != 0 || keys->front() != derived.data()) {
    return tl::unexpected(fmt::format("'{}' is damaged: its two keys do not belong together: copy it again", file));
  }
  return KeyPair{.public_key = keys->front(), .secret_key = keys->back()};
}

bool ClientKeys::Allows(const std::string& key, Time now) {
  if (!read_at_ || now - *read_at_ >= kReadEvery) Read(now);
  return keys_.contains(key);
}

void ClientKeys::Read(Time now) {
  read_at_ = now;
  std::set<std::string> complaints;
  auto files = ListKeyFiles(dir_);
  if (!files) {
    complaints.insert(files.error() + "; the keys that were read before stay valid");
  } else {
    keys_.clear();
    for (const auto& file : *files) {
      const auto key = ReadPublicKey(file);
      if (key) {
        keys_.insert(*key);
      } else {
        complaints.insert(key.error());
      }
    }
  }
  for (const auto& complaint : complaints) {
    if (!complaints_.contains(complaint)) spdlog::warn("{}", complaint);
  }
  complaints_ = std::move(complaints);
}

tl::expected<ServerSecurity, std::string> ReadServerSecurity(const std::string& server_key_file,
                                                             const std::string& client_keys_dir) {
  auto own = ReadKeyPair(server_key_file);
  if (!own) return tl::unexpected(own.error());
  if (const auto files = ListKeyFiles(client_keys_dir); !files) return tl::unexpected(files.error());
  return ServerSecurity{.own = std::move(*own), .client_keys_dir = client_keys_dir};
}

tl::expected<ClientSecurity, std::string> ReadClientSecurity(const std::string& server_key_file,
                                                             const std::string& client_key_file) {
  auto server_key = ReadPublicKey(server_key_file);
  if (!server_key) return tl::unexpected(server_key.error());
  auto own = ReadKeyPair(client_key_file);
  if (!own) return tl::unexpected(own.error());
  return ClientSecurity{.server_key = std::move(*server_key), .own = std::move(*own)};
}

ZapHandler::ZapHandler(zmq::context_t& context, const ServerSecurity& security)
    : dir_(security.client_keys_dir),
      refusals_(security.refusals),
      keys_(dir_),
      requests_(context, zmq::socket_type::router),
      stop_sender_(context, zmq::socket_type::pair),
      stop_receiver_(context, zmq::socket_type::pair) {
  for (auto* socket : {&requests_, &stop_sender_}) socket->set(zmq::sockopt::linger, 0);
  requests_.bind("inproc://zeromq.zap.01");
  stop_receiver_.bind("inproc://dicom-sender.zap.stop");
  stop_sender_.connect("inproc://dicom-sender.zap.stop");
  thread_ = std::thread([this] { Run(); });
}

ZapHandler::~ZapHandler() {
  try {
    stop_sender_.send(zmq::message_t(), zmq::send_flags::dontwait);
  } catch (const zmq::error_t&) {
    // The context has ended, so the thread has ended, too.
  }
  thread_.join();
}

void ZapHandler::Run() {
  Repeat([this] {
    std::array<zmq::pollitem_t, 2> items{
        {{requests_.handle(), 0, ZMQ_POLLIN, 0}, {stop_receiver_.handle(), 0, ZMQ_POLLIN, 0}}};
    zmq::poll(items.data(), items.size(), std::chrono::milliseconds(-1));
    if (items[0].revents) Answer();
    return items[1].revents == 0;
  });
}

void ZapHandler::Answer() {
  const auto request = ReceiveFrames(requests_, kZapFrames + 1);
  if (request.size() <= kZapRequestId || !request[1].empty()) {
    spdlog::warn("Ignored a request to check a key without a request ID");
    return;
  }
  const auto user = Judge(request);
  for (const std::string& frame :
       {request[0], request[1], std::string(kZapVersion), request[kZapRequestId],
        std::string(user ? "200" : kZapRefusal), std::string(user ? "OK" : "unknown key"), user.value_or("")}) {
    requests_.send(zmq::buffer(frame), zmq::send_flags::sndmore | zmq::send_flags::dontwait);
  }
  requests_.send(zmq::message_t(), zmq::send_flags::dontwait);  // no metadata
}

std::optional<std::string> ZapHandler::Judge(const std::vector<std::string>& request) {
  if (request.size() != kZapFrames || request[kZapVersionAt] != kZapVersion || request[kZapMechanism] != "CURVE" ||
      request[kZapCredentials].size() != kKeyBytes) {
    refusals_->Add("", "a client without a CURVE key was refused: start it with --server-key and --client-key");
    return std::nullopt;
  }
  const auto key = ToZ85(request[kZapCredentials]);
  if (keys_.Allows(key, std::chrono::steady_clock::now())) return key;
  refusals_->Add(key, fmt::format("a client at {} with the unknown key {} was refused: put its public key into {}",
                                  WithoutV4Prefix(request[kZapAddress]), key, dir_));
  return std::nullopt;
}

HandshakeWatch::HandshakeWatch(zmq::context_t& context, zmq::socket_ref socket, std::shared_ptr<Refusals> refusals)
    : socket_(socket), refusals_(std::move(refusals)), events_(context, zmq::socket_type::pair) {
  const auto endpoint = fmt::format("inproc://dicom-sender.handshakes.{}", fmt::ptr(socket.handle()));
  // Connect first, because events without a receiver would block the sockets of the context.
  events_.connect(endpoint);
  const int events =
      ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_MONITOR_STOPPED;
  if (zmq_socket_monitor(socket_.handle(), endpoint.c_str(), events) != 0) throw zmq::error_t();
  thread_ = std::thread([this] { Run(); });
}

HandshakeWatch::~HandshakeWatch() {
  zmq_socket_monitor(socket_.handle(), nullptr, 0);
  thread_.join();
}

void HandshakeWatch::Run() {
  Repeat([this] {
    zmq::pollitem_t item{events_.handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, std::chrono::milliseconds(-1));
    // The event (16 bits) with its value (32 bits), then the endpoint.
    const auto frames = ReceiveFrames(events_, 2);
    std::uint16_t event = 0;
    std::uint32_t value = 0;
    if (frames.size() != 2 || frames[0].size() != sizeof event + sizeof value) return true;
    std::memcpy(&event, frames[0].data(), sizeof event);
    std::memcpy(&value, frames[0].data() + sizeof event, sizeof value);
    if (event == ZMQ_EVENT_MONITOR_STOPPED) return false;
    const bool hung_up = event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    if (hung_up && value != EPIPE) return true;  // it was refused already, or is slow
    refusals_->Add(fmt::format("{} {}", frames[1], value),
                   hung_up ? HungUpSentence(frames[1]) : HandshakeSentence(frames[1], value));
    return true;
  });
}

bool IsLoopback(std::string_view endpoint) {
  if (endpoint.starts_with("ipc://") || endpoint.starts_with("inproc://")) return true;
  constexpr std::string_view kTcp = "tcp://";
  const auto colon = endpoint.rfind(':');
  if (!endpoint.starts_with(kTcp) || colon < kTcp.size()) return false;
  const auto host = endpoint.substr(kTcp.size(), colon - kTcp.size());
  if (host == "localhost") return true;
  if (host.starts_with('[') && host.ends_with(']')) return IsLoopbackV6(std::string(host.substr(1, host.size() - 2)));
  return IsLoopbackV4(std::string(host));
}

}  // namespace dicom_sender
