// CURVE security for the channels: reads keys from files, decides which clients may connect, and logs refusals.
//
// Keys are Z85 text of 40 characters. Every error is one readable sentence. Functions that read or write files block
// as long as the file system does.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tl/expected.hpp>
#include <vector>
#include <zmq.hpp>

#include "transport/refusals.h"

namespace dicom_sender {

inline constexpr std::size_t kKeyFileBytesMax = 4096;
inline constexpr int kClientKeyFilesMax = 10'000;

struct KeyPair {
  std::string public_key;
  std::string secret_key;
};

struct KeyFiles {
  std::string public_file;  // DIR/NAME.key
  std::string secret_file;  // DIR/NAME.key_secret, mode 0600; holds both keys
};

// Makes a new pair. Never overwrites existing files, and leaves no new file after an error.
tl::expected<KeyFiles, std::string> MakeKeyFiles(const std::string& dir, const std::string& name);

// Each function refuses the other kind of file. A secret file must not be accessible to group and others.
tl::expected<std::string, std::string> ReadPublicKey(const std::string& file);
tl::expected<KeyPair, std::string> ReadKeyPair(const std::string& file);

// The public keys in the *.key files of a folder. Logs and ignores files without a public key. Not thread-safe.
class ClientKeys {
 public:
  static constexpr std::chrono::seconds kReadEvery{1};
  using Time = std::chrono::steady_clock::time_point;

  explicit ClientKeys(std::string dir) : dir_(std::move(dir)) {}
  // Reads the folder if the last time was longer than kReadEvery ago. If that fails, the previous keys stay valid.
  bool Allows(const std::string& key, Time now);

 private:
  void Read(Time now);

  std::string dir_;
  std::set<std::string> keys_;
  std::set<std::string> complaints_;  // about the last reading, so that each is logged once
  std::optional<Time> read_at_;
};

// The coordinator's side. Copies share one count of refusals.
struct ServerSecurity {
  KeyPair own;
  std::string client_keys_dir;
  std::shared_ptr<Refusals> refusals = std::make_shared<Refusals>();
};

struct ClientSecurity {
  std::string server_key;
  KeyPair own;
};

// `server_key_file` is the coordinator's secret file. `client_keys_dir` may be empty at first and filled later.
tl::expected<ServerSecurity, std::string> ReadServerSecurity(const std::string& server_key_file,
                                                             const std::string& client_keys_dir);
// `server_key_file` is the coordinator's public file, `client_key_file` the client's own secret file.
tl::expected<ClientSecurity, std::string> ReadClientSecurity(const std::string& server_key_file,
                                                             const std::string& client_key_file);

// Decides which clients may connect to the CURVE sockets of a context (ZAP, ZeroMQ RFC 27), in a thread of its own. A
// refused client may try again, which libzmq does after the handshake's timeout of 10 s. Create it before the first
// RouterChannel with security and keep it longer than the last one: without it, no client can connect. A context can
// have only one (zmq::error_t otherwise).
class ZapHandler {
 public:
  ZapHandler(zmq::context_t& context, const ServerSecurity& security);
  ~ZapHandler();
  ZapHandler(const ZapHandler&) = delete;
  ZapHandler& operator=(const ZapHandler&) = delete;

 private:
  void Run();
  void Answer();
  std::optional<std::string> Judge(const std::vector<std::string>& request);  // the key, if it is allowed

  std::string dir_;
  std::shared_ptr<Refusals> refusals_;
  ClientKeys keys_;
  zmq::socket_t requests_;
  zmq::socket_t stop_sender_;
  zmq::socket_t stop_receiver_;
  std::thread thread_;
};

// Adds peers that fail before the ZapHandler decides to the refusals: peers without a key or with another server's
// key. Create it before the socket binds, and destroy it before the socket, in the socket's thread.
class HandshakeWatch {
 public:
  HandshakeWatch(zmq::context_t& context, zmq::socket_ref socket, std::shared_ptr<Refusals> refusals);
  ~HandshakeWatch();
  HandshakeWatch(const HandshakeWatch&) = delete;
  HandshakeWatch& operator=(const HandshakeWatch&) = delete;

 private:
  void Run();

  zmq::socket_ref socket_;
  std::shared_ptr<Refusals> refusals_;
  zmq::socket_t events_;
  std::thread thread_;
};

// True if only this machine can reach the endpoint: ipc, inproc, and tcp at 127.x.x.x, [::1], or localhost. False for
// any other name or address, including invalid ones. Pure.
bool IsLoopback(std::string_view endpoint);

}  // namespace dicom_sender
