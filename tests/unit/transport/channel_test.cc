// Tests the channel over inproc, as in dicom-sender, and over TCP to several coordinators.
#include "transport/channel.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "proto/validate.h"
#include "transport/coordinator_client.h"

namespace dicom_sender {
namespace {

class ChannelTest : public testing::Test {
 protected:
  // inproc delivers within the call or soon afterwards, so only a failing test waits that long.
  static constexpr std::chrono::milliseconds kPatience{5000};

  std::optional<PeerMessage> Await() {
    zmq::pollitem_t item{router_.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kPatience);
    return router_.Receive();
  }

  zmq::context_t context_;
  RouterChannel router_{context_, "inproc://test"};
  DealerChannel dealer_{context_, {"inproc://test"}};
};

TEST_F(ChannelTest, CarriesMessagesBothWays) {
  wire::ClientReply message;
  message.set_request_id(42);
  ASSERT_TRUE(dealer_.Send(message));
  const auto received = Await();
  ASSERT_TRUE(received);
  EXPECT_EQ(received->bytes, message.SerializeAsString());
  ASSERT_TRUE(router_.Send(received->peer, message));
  zmq::pollitem_t item{dealer_.socket().handle(), 0, ZMQ_POLLIN, 0};
  zmq::poll(&item, 1, kPatience);
  EXPECT_EQ(dealer_.Receive(), message.SerializeAsString());
  EXPECT_EQ(dealer_.Receive(), std::nullopt);
}

TEST_F(ChannelTest, ReportsAMissingPeerAndAnOversizedMessage) {
  wire::ClientReply message;
  EXPECT_FALSE(router_.Send("nobody", message));
  message.mutable_failure()->set_reason(std::string(kMessageBytesMax, 'x'));
  EXPECT_FALSE(dealer_.Send(message));
}

TEST_F(ChannelTest, AMessageOfSeveralFramesReadsAsEmpty) {
  zmq::socket_t raw(context_, zmq::socket_type::dealer);
  raw.connect("inproc://test");
  raw.send(zmq::str_buffer("one"), zmq::send_flags::sndmore);
  raw.send(zmq::str_buffer("two"), zmq::send_flags::none);
  const auto received = Await();
  ASSERT_TRUE(received);
  EXPECT_EQ(received->bytes, "");
  EXPECT_EQ(router_.Receive(), std::nullopt);
}

TEST_F(ChannelTest, AFullQueueDropsInsteadOfBlocking) {
  wire::ClientReply message;
  message.mutable_failure()->set_reason("x");
  bool dropped = false;
  for (int i = 0; i < 10 * kChannelMessagesMax && !dropped; ++i) dropped = !dealer_.Send(message);
  EXPECT_TRUE(dropped);
}

// Several endpoints with a leader, a standby, and others.
class SeveralEndpointsTest : public testing::Test {
 protected:
  static constexpr std::chrono::seconds kPatience{30};

  // Does what the programs do until the dealer is connected to `endpoint`. Returns false if that does not happen.
  bool FollowTo(DealerChannel& dealer, const std::string& endpoint) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (dealer.Follow() && dealer.endpoint() == endpoint) return true;
      Answer(dealer);
      std::vector<zmq::pollitem_t> items{{dealer.socket().handle(), 0, ZMQ_POLLIN, 0},
                                         {dealer.events().handle(), 0, ZMQ_POLLIN, 0}};
      zmq::poll(items, std::chrono::milliseconds(10));
    }
    return false;
  }
  // Sends a request if the dealer is connected to the standby, and lets the standby answer.
  void Answer(DealerChannel& dealer) {
    if (dealer.endpoint() == stand_by_.endpoint()) dealer.Send(Envelope(wire::ClientRequest()));
    while (const auto message = stand_by_.Receive()) stand_by_.Send(message->peer, Envelope(wire::NotLeading()));
    while (const auto bytes = dealer.Receive()) {
      const auto envelope = ParseFromCoordinator(*bytes);
      dealer.Answered(envelope && !envelope->has_not_leading());
    }
  }

  zmq::context_t context_;
  RouterChannel stand_by_{context_, "tcp://127.0.0.1:*"};
  std::optional<RouterChannel> leader_{std::in_place, context_, "tcp://127.0.0.1:*"};
  const std::string leads_ = leader_->endpoint();
};

TEST_F(SeveralEndpointsTest, LeavesAStandby) {
  DealerChannel dealer(context_, {stand_by_.endpoint(), leads_});
  EXPECT_TRUE(FollowTo(dealer, leads_));
  EXPECT_TRUE(dealer.Send(Envelope(wire::ClientRequest()))) << "as soon as it is connected";
  EXPECT_TRUE(dealer.saw_stand_by());
  dealer.Answered(true);
  EXPECT_FALSE(dealer.Follow()) << "it stays";
  EXPECT_EQ(dealer.endpoint(), leads_);
}

TEST_F(SeveralEndpointsTest, DoesNotWaitForAnEndpointWithoutAListener) {
  DealerChannel dealer(context_, {"tcp://127.0.0.1:1", leads_});
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(FollowTo(dealer, leads_));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, LeaderSearch::kConnectWithin) << "the connection is refused";
}

TEST_F(SeveralEndpointsTest, DoesNotWaitForALostConnection) {
  DealerChannel dealer(context_, {leads_, stand_by_.endpoint()});
  ASSERT_TRUE(FollowTo(dealer, leads_));
  dealer.Answered(true);
  leader_.reset();
  ASSERT_TRUE(FollowTo(dealer, stand_by_.endpoint()));
  leader_.emplace(context_, leads_);
  EXPECT_TRUE(FollowTo(dealer, leads_)) << "it is the leader again";
}

TEST_F(SeveralEndpointsTest, LeavesASilentListener) {
  const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 10), 0);
  ASSERT_EQ(getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size), 0);
  DealerChannel dealer(context_, {fmt::format("tcp://127.0.0.1:{}", ntohs(address.sin_port)), leads_});
  EXPECT_TRUE(FollowTo(dealer, leads_));
  close(silent);
}

TEST_F(SeveralEndpointsTest, DropsMessagesOfTheOldConnection) {
  DealerChannel dealer(context_, {leads_, stand_by_.endpoint()});
  ASSERT_TRUE(FollowTo(dealer, leads_));
  ASSERT_TRUE(dealer.Send(Envelope(wire::ClientRequest())));
  zmq::pollitem_t asked{leader_->socket().handle(), 0, ZMQ_POLLIN, 0};
  ASSERT_EQ(zmq::poll(&asked, 1, kPatience), 1);
  ASSERT_TRUE(leader_->Send(leader_->Receive().value().peer, Envelope(wire::ClientReply())));
  zmq::pollitem_t answered{dealer.socket().handle(), 0, ZMQ_POLLIN, 0};
  ASSERT_EQ(zmq::poll(&answered, 1, kPatience), 1);
  dealer.Move();
  EXPECT_EQ(dealer.endpoint(), stand_by_.endpoint());
  EXPECT_EQ(dealer.Receive(), std::nullopt);
}

TEST_F(SeveralEndpointsTest, AClientTriesEveryEndpoint) {
  std::jthread coordinators([this](std::stop_token stop) {
    while (!stop.stop_requested()) {
      std::array<zmq::pollitem_t, 2> items{
          {{stand_by_.socket().handle(), 0, ZMQ_POLLIN, 0}, {leader_->socket().handle(), 0, ZMQ_POLLIN, 0}}};
      zmq::poll(items, std::chrono::milliseconds(10));
      while (const auto message = stand_by_.Receive()) stand_by_.Send(message->peer, Envelope(wire::NotLeading()));
      while (const auto message = leader_->Receive()) {
        wire::ClientReply reply;
        reply.set_request_id(ParseToCoordinator(message->bytes)->client().request_id());
        reply.mutable_failure()->set_reason("by the leader");
        leader_->Send(message->peer, Envelope(reply));
      }
    }
  });
  wire::ClientRequest question;
  question.mutable_get_session();
  CoordinatorClient client(context_, {stand_by_.endpoint(), leads_});
  for (int request = 0; request < 2; ++request) {
    const auto reply = client.Call(question, {}, kPatience);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().reason, "by the leader");
  }
  CoordinatorClient nobody(context_, {stand_by_.endpoint()});
  const auto reply = nobody.Call(question, {}, std::chrono::seconds(1));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, CallError::Kind::kNoAnswer);
  EXPECT_NE(reply.error().reason.find(stand_by_.endpoint() + " has led"), std::string::npos) << reply.error().reason;
}

}  // namespace
}  // namespace dicom_sender
