// Carries envelopes over ZeroMQ: a ROUTER at the coordinator, a DEALER at everybody else, one frame a message.
//
// Nothing here blocks and every queue has a bound; a message that does not fit is dropped, and so is one that is
// longer than kMessageBytesMax. The protocol repeats what was not answered, so a drop costs time, never an instance.
// Each channel belongs to one thread. Throws zmq::error_t where an endpoint cannot be bound or connected.
#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

#include "proto/limits.h"
#include "transport/leader_search.h"
#include "transport/peer_message.h"
#include "transport/security.h"

namespace dicom_sender {

inline constexpr int kChannelMessagesMax = 1000;  // in each queue of a channel, for each peer

class RouterChannel {
 public:
  // With `security` only clients that the context's ZapHandler knows come in, without it everybody; inproc knows no
  // security.
  RouterChannel(zmq::context_t& context, const std::string& endpoint, const ServerSecurity* security = nullptr);
  std::optional<PeerMessage> Receive();
  // False if the peer is gone or its queue is full.
  bool Send(const std::string& peer, const google::protobuf::MessageLite& message);
  zmq::socket_ref socket() { return socket_; }                                       // to poll for input
  std::string endpoint() const { return socket_.get(zmq::sockopt::last_endpoint); }  // with the port that was chosen

 private:
  zmq::socket_t socket_;
  std::unique_ptr<HandshakeWatch> watch_;
};

// Of coordinators of which one leads, or of a single one; at least one.
using Endpoints = std::vector<std::string>;
inline constexpr std::size_t kEndpointsMax = 8;

// Connected to one endpoint at a time. Its owner calls Follow() each time it looks for messages, and Answered() for
// each; so it finds whoever leads (leader_search.h).
class DealerChannel {
 public:
  DealerChannel(zmq::context_t& context, Endpoints endpoints, const ClientSecurity* security = nullptr);
  ~DealerChannel() { Unwatch(); }
  DealerChannel(const DealerChannel&) = delete;
  DealerChannel& operator=(const DealerChannel&) = delete;

  // Over tcp nothing can be sent before the connection is made, nor while it is lost.
  bool WaitUntilConnected(std::chrono::milliseconds patience);
  std::optional<std::string> Receive();
  bool Send(const google::protobuf::MessageLite& message);

  // By whoever listens at endpoint(); `leads`: anything but a NotLeading.
  void Answered(bool leads);
  // Goes on to the next endpoint if it is time. True if a connection was made since the last call: what was said
  // before and not answered may be lost, and is to be said again.
  bool Follow();
  // Follow() is to be called by then.
  LeaderSearch::Time follow_at() const { return search_.move_at(); }
  // To the next endpoint, with a socket of its own: nothing of the connection before is left.
  void Move();

  const Endpoints& endpoints() const { return endpoints_; }
  const std::string& endpoint() const { return endpoints_[current_]; }  // the current one
  bool saw_stand_by() const { return search_.saw_stand_by(); }
  // To poll for input until the next Follow(): messages, and what happens to the connection.
  zmq::socket_ref socket() { return socket_; }
  zmq::socket_ref events() { return events_; }

 private:
  void Connect();
  void Watch();
  void Unwatch();

  zmq::context_t& context_;
  const Endpoints endpoints_;
  const std::optional<ClientSecurity> security_;
  std::size_t current_ = 0;
  LeaderSearch search_;
  zmq::socket_t socket_, events_;
};

}  // namespace dicom_sender
