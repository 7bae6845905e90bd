// CURVE for the channels: keys in files, who is let in, and what is said about those who are not.
//
// Keys are Z85 text of 40 characters. Every error is one sentence for a person. What reads or writes files blocks as
// file systems do.
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

// Makes a new pair. Existing files are never overwritten; after an error neither file is there that was not before.
tl::expected<KeyFiles, std::string> MakeKeyFiles(const std::string& dir, const std::string& name);

// Each refuses the other kind of file; a secret file must be closed to group and others.
tl::expected<std::string, std::string> ReadPublicKey(const std::string& file);
tl::expected<KeyPair, std::string> ReadKeyPair(const std::string& file);

// The public keys in the *.key files of a folder. A file that holds no public key is logged and lets nobody in. One
// thread.
class ClientKeys {
 public:
  static constexpr std::chrono::seconds kReadEvery{1};
  using Time = std::chrono::steady_clock::time_point;

  explicit ClientKeys(std::string dir) : dir_(std::move(dir)) {}
  // Reads the folder if that was not done within kReadEvery. While it cannot be read, what was read before holds.
  bool Allows(const std::string& key, Time now);

 private:
  void Read(Time now);

  std::string dir_;
  std::set<std::string> keys_;
  std::set<std::string> complaints_;  // of the last reading, so that each is logged once
  std::optional<Time> read_at_;
};

// The coordinator's side. Copies count refusals together.
struct ServerSecurity {
  KeyPair own;
  std::string client_keys_dir;
  std::shared_ptr<Refusals> refusals = std::make_shared<Refusals>();
};

struct ClientSecurity {
  std::string server_key;
  KeyPair own;
};

// `server_key_file` is the coordinator's secret file; `client_keys_dir` may be empty and be filled later.
tl::expected<ServerSecurity, std::string> ReadServerSecurity(const std::string& server_key_file,
                                                             const std::string& client_keys_dir);
// `server_key_file` is the coordinator's public file, `client_key_file` the client's own secret file.
tl::expected<ClientSecurity, std::string> ReadClientSecurity(const std::string& server_key_file,
                                                             const std::string& client_key_file);

// Decides for every CURVE socket of a context who is let in (ZAP, ZeroMQ RFC 27), in a thread of its own. Who is
// refused may try again, which libzmq does after the handshake's time-out of 10 s. Make it before the first
// RouterChannel with security and keep it longer than the last: without it nobody is let in. One in a context
// (zmq::error_t otherwise).
class ZapHandler {
 public:
  ZapHandler(zmq::context_t& context, const ServerSecurity& security);
  ~ZapHandler();
  ZapHandler(const ZapHandler&) = delete;
  ZapHandler& operator=(const ZapHandler&) = delete;

 private:
  void Run();
  void Answer();
  std::optional<std::string> Judge(const std::vector<std::string>& request);  // the key, if it may come in

  std::string dir_;
  std::shared_ptr<Refusals> refusals_;
  ClientKeys keys_;
  zmq::socket_t requests_;
  zmq::socket_t stop_sender_;
  zmq::socket_t stop_receiver_;
  std::thread thread_;
};

// Adds to the refusals those peers of a socket that fail before a ZapHandler is asked: no key at all, another
// server's key. Make it before the socket binds; destroy it before the socket, in the socket's thread.
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

// True if only this machine can reach what is bound to the endpoint: ipc, inproc, and tcp at 127.x.x.x, [::1] or
// localhost. Pure; any other name or address, also one that cannot be read, is false.
bool IsLoopback(std::string_view endpoint);

}  // namespace dicom_sender
