// Carries envelopes over ZeroMQ: a ROUTER in the coordinator, a DEALER in all other programs, one frame per message.
//
// Nothing here blocks, and every queue is bounded. A channel drops messages that do not fit or are longer than
// kMessageBytesMax. The protocol repeats unanswered messages, so a drop costs time but never an instance. Each
// channel belongs to one thread. Throws zmq::error_t if an endpoint cannot be bound or connected.
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
  // With `security`, accepts only clients that the context's ZapHandler knows; without it, accepts all clients.
  // inproc does not support security.
  RouterChannel(zmq::context_t& context, const std::string& endpoint, const ServerSecurity* security = nullptr);
  std::optional<PeerMessage> Receive();
  // False if the peer is gone or its queue is full.
  bool Send(const std::string& peer, const google::protobuf::MessageLite& message);
  zmq::socket_ref socket() { return socket_; }                                       // to poll for input
  std::string endpoint() const { return socket_.get(zmq::sockopt::last_endpoint); }  // with the actual port

 private:
  zmq::socket_t socket_;
  std::unique_ptr<HandshakeWatch> watch_;
};

// The endpoints of coordinators that share a ledger, or of a single one; at least one.
using Endpoints = std::vector<std::string>;
inline constexpr std::size_t kEndpointsMax = 8;

// Connects to one endpoint at a time and finds the leader (leader_search.h). Its owner must call Follow() each time
// it polls for messages, and Answered() for each message.
class DealerChannel {
 public:
  DealerChannel(zmq::context_t& context, Endpoints endpoints, const ClientSecurity* security = nullptr);
  ~DealerChannel() { Unwatch(); }
  DealerChannel(const DealerChannel&) = delete;
  DealerChannel& operator=(const DealerChannel&) = delete;

  // Over tcp, nothing can be sent before the connection is made or while it is lost.
  bool WaitUntilConnected(std::chrono::milliseconds patience);
  std::optional<std::string> Receive();
  bool Send(const google::protobuf::MessageLite& message);

  // Call it for each message from endpoint(). `leads` is false for NotLeading and true for all others.
  void Answered(bool leads);
  // Moves to the next endpoint if it is time. Returns true if a connection was made since the last call: unanswered
  // messages may be lost, so the caller must repeat them.
  bool Follow();
  // The time by which Follow() must be called.
  LeaderSearch::Time follow_at() const { return search_.move_at(); }
  // Moves to the next endpoint with a new socket, so that nothing of the previous connection is left.
  void Move();

  const Endpoints& endpoints() const { return endpoints_; }
  const std::string& endpoint() const { return endpoints_[current_]; }  // the current one
  bool saw_stand_by() const { return search_.saw_stand_by(); }
  // The sockets to poll until the next Follow(): for messages, and for events of the connection.
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
