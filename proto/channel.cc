#include "proto/channel.h"

namespace dicom_sender {
namespace {

zmq::socket_t MakeSocket(zmq::context_t& context, zmq::socket_type type) {
  zmq::socket_t socket(context, type);
  socket.set(zmq::sockopt::sndhwm, kChannelMessagesMax);
  socket.set(zmq::sockopt::rcvhwm, kChannelMessagesMax);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(kMessageBytesMax));
  socket.set(zmq::sockopt::linger, 0);
  return socket;
}

zmq::message_t Encode(const google::protobuf::MessageLite& message) {
  zmq::message_t frame(message.ByteSizeLong());
  message.SerializeToArray(frame.data(), static_cast<int>(frame.size()));
  return frame;
}

}  // namespace

RouterChannel::RouterChannel(zmq::context_t& context, const std::string& endpoint)
    : socket_(MakeSocket(context, zmq::socket_type::router)) {
  // A peer that went away or does not read must be noticed here, not swallowed by the socket.
  socket_.set(zmq::sockopt::router_mandatory, true);
  socket_.bind(endpoint);
}

std::optional<PeerMessage> RouterChannel::Receive() {
  zmq::message_t peer;
  if (!socket_.recv(peer, zmq::recv_flags::dontwait)) return std::nullopt;
  PeerMessage message{.peer = peer.to_string(), .bytes = {}};
  // Exactly one frame follows the peer's name; a message of another shape reads as empty and is refused as such.
  for (bool first = true, more = peer.more(); more; first = false) {
    zmq::message_t frame;
    if (!socket_.recv(frame, zmq::recv_flags::dontwait)) break;
    more = frame.more();
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

DealerChannel::DealerChannel(zmq::context_t& context, const std::string& endpoint)
    : socket_(MakeSocket(context, zmq::socket_type::dealer)) {
  socket_.connect(endpoint);
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
  return socket_.send(Encode(message), zmq::send_flags::dontwait).has_value();
}

}  // namespace dicom_sender
