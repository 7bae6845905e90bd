#include "transport/channel.h"

#include <fmt/format.h>

#include <cstring>
#include <random>
#include <utility>

namespace dicom_sender {
namespace {

using Clock = std::chrono::steady_clock;

// ZMQ_ZAP_ENFORCE_DOMAIN: libzmq has it since 4.3.0, its header shows it only together with the draft functions.
constexpr zmq::sockopt::integral_option<93, int, true> kZapEnforceDomain{};

zmq::socket_t MakeSocket(zmq::context_t& context, zmq::socket_type type) {
  zmq::socket_t socket(context, type);
  socket.set(zmq::sockopt::sndhwm, kChannelMessagesMax);
  socket.set(zmq::sockopt::rcvhwm, kChannelMessagesMax);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(kMessageBytesMax));
  socket.set(zmq::sockopt::linger, 0);
  // The following options affect tcp only. Heartbeats detect a peer that disappears without closing its connection.
  socket.set(zmq::sockopt::heartbeat_ivl, 5'000);
  socket.set(zmq::sockopt::heartbeat_timeout, 15'000);
  socket.set(zmq::sockopt::tcp_keepalive, 1);
  socket.set(zmq::sockopt::handshake_ivl, 10'000);
  socket.set(zmq::sockopt::ipv6, true);
  return socket;
}

void SetOwnKeys(zmq::socket_t& socket, const KeyPair& own) {
  socket.set(zmq::sockopt::curve_publickey, own.public_key);
  socket.set(zmq::sockopt::curve_secretkey, own.secret_key);
}

zmq::message_t Encode(const google::protobuf::MessageLite& message) {
  zmq::message_t frame(message.ByteSizeLong());
  message.SerializeToArray(frame.data(), static_cast<int>(frame.size()));
  return frame;
}

// Empty over inproc.
std::string PeerAddress(zmq::message_t& frame) {
  const char* address = zmq_msg_gets(frame.handle(), "Peer-Address");
  return address == nullptr ? std::string() : address;
}

// The user that the ZapHandler has set.
std::string PeerKey(zmq::message_t& frame) {
  const char* key = zmq_msg_gets(frame.handle(), "User-Id");
  return key == nullptr ? std::string() : key;
}

}  // namespace

RouterChannel::RouterChannel(zmq::context_t& context, const std::string& endpoint, const ServerSecurity* security)
    : socket_(MakeSocket(context, zmq::socket_type::router)) {
  // Report messages to a peer that is gone or does not read, instead of dropping them silently.
  socket_.set(zmq::sockopt::router_mandatory, true);
  if (security) {
    SetOwnKeys(socket_, security->own);
    socket_.set(zmq::sockopt::curve_server, true);
    // An enforced domain rejects all clients that the ZapHandler does not accept.
    socket_.set(zmq::sockopt::zap_domain, "dicom-sender");
    socket_.set(kZapEnforceDomain, true);
    watch_ = std::make_unique<HandshakeWatch>(context, socket_, security->refusals);
  }
  socket_.bind(endpoint);
}

std::optional<PeerMessage> RouterChannel::Receive() {
  zmq::message_t peer;
  if (!socket_.recv(peer, zmq::recv_flags::dontwait)) return std::nullopt;
  PeerMessage message{.peer = peer.to_string(), .bytes = {}, .address = {}, .key = {}};
  // Exactly one frame follows the peer's name. A message of another shape counts as empty and is refused.
  for (bool first = true, more = peer.more(); more; first = false) {
    zmq::message_t frame;
    if (!socket_.recv(frame, zmq::recv_flags::dontwait)) break;
    more = frame.more();
    message.address = PeerAddress(frame);
    message.key = PeerKey(frame);
    if (first && !more) message.bytes = frame.to_string();
  }
  return message;
}

bool RouterChannel::Send(const std::string& peer, const google::protobuf::MessageLite& message) {
  if (message.ByteSizeLong() > kMessageBytesMax) return false;
  try {
    if (!socket_.send(zmq::buffer(peer), zmq::send_flags::sndmore | zmq::send_flags::dontwait)) return false;
    return socket_.send(Encode(message), zmq::send_flags::dontwait).has_value();
  } catch (const zmq::error_t& error) {
    if (error.num() == EHOSTUNREACH) return false;
    throw;
  }
}

DealerChannel::DealerChannel(zmq::context_t& context, Endpoints endpoints, const ClientSecurity* security)
    : context_(context),
      endpoints_(std::move(endpoints)),
      security_(security ? std::optional(*security) : std::nullopt),
      search_(endpoints_.size(), std::random_device()(), Clock::now()) {
  Connect();
}

void DealerChannel::Connect() {
  socket_ = MakeSocket(context_, zmq::socket_type::dealer);
  if (endpoint().starts_with("tcp://")) {
    socket_.set(zmq::sockopt::immediate, true);  // queue nothing without a connection: it would be outdated
    if (endpoints_.size() == 1) {
      socket_.set(zmq::sockopt::reconnect_ivl, 100);
      socket_.set(zmq::sockopt::reconnect_ivl_max, 5'000);
    } else {
      // The socket must not reconnect by itself, because Follow() chooses the next endpoint. Detect a dead connection
      // early.
      socket_.set(zmq::sockopt::reconnect_ivl, -1);
      socket_.set(zmq::sockopt::heartbeat_ivl, 1'000);
      socket_.set(zmq::sockopt::heartbeat_timeout, 2'000);
    }
  }
  if (security_) {
    SetOwnKeys(socket_, security_->own);
    socket_.set(zmq::sockopt::curve_serverkey, security_->server_key);
  }
  Watch();
  socket_.connect(endpoint());
}

// Subscribes to few events, because the owner may not read them for hours, and a full event queue stops the socket.
void DealerChannel::Watch() {
  events_ = zmq::socket_t(context_, zmq::socket_type::pair);
  const auto name = fmt::format("inproc://dicom-sender.connection.{}", fmt::ptr(socket_.handle()));
  events_.connect(name);  // first, because events without a receiver would block the sockets of the context
  int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
  if (endpoints_.size() > 1) events |= ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED;
  if (zmq_socket_monitor(socket_.handle(), name.c_str(), events) != 0) throw zmq::error_t();
}

void DealerChannel::Unwatch() { zmq_socket_monitor(socket_.handle(), nullptr, 0); }

bool DealerChannel::Follow() {
  bool connected = false;
  zmq::message_t frame;
  while (events_.recv(frame, zmq::recv_flags::dontwait)) {
    std::uint16_t event = 0;
    if (!frame.more() || frame.size() < sizeof event) continue;  // the address, which comes after the event
    std::memcpy(&event, frame.data(), sizeof event);
    connected = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    connected ? search_.Connected() : search_.Lost(Clock::now());
  }
  if (Clock::now() >= search_.move_at()) {
    Move();
    return false;
  }
  // Reading its state makes the socket process new connections.
  return connected && socket_.get(zmq::sockopt::events) >= 0;
}

void DealerChannel::Answered(bool leads) {
  leads ? search_.Answered(Clock::now()) : search_.NotLeading(Clock::now());
}

void DealerChannel::Move() {
  Unwatch();
  socket_.close();
  events_.close();
  current_ = (current_ + 1) % endpoints_.size();
  search_.Moved(Clock::now());
  Connect();
}

bool DealerChannel::WaitUntilConnected(std::chrono::milliseconds patience) {
  zmq::pollitem_t item{socket_.handle(), 0, ZMQ_POLLOUT, 0};
  return zmq::poll(&item, 1, patience) > 0;
}

std::optional<std::string> DealerChannel::Receive() {
  zmq::message_t frame;
  if (!socket_.recv(frame, zmq::recv_flags::dontwait)) return std::nullopt;
  if (!frame.more()) return frame.to_string();
  while (frame.more() && socket_.recv(frame, zmq::recv_flags::dontwait)) {
  }
  return std::string();
}

bool DealerChannel::Send(const google::protobuf::MessageLite& message) {
  if (message.ByteSizeLong() > kMessageBytesMax) return false;
  if (!socket_.send(Encode(message), zmq::send_flags::dontwait)) return false;
  search_.Asked(Clock::now());
  return true;
}

}  // namespace dicom_sender
