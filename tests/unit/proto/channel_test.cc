// The channel over inproc, as dicom-sender wires it.
#include "proto/channel.h"

#include <gtest/gtest.h>

#include "client.pb.h"

namespace dicom_sender {
namespace {

class ChannelTest : public testing::Test {
 protected:
  // inproc delivers within the call or soon after; nothing here waits longer than a broken channel would need.
  static constexpr std::chrono::milliseconds kPatience{5000};

  std::optional<PeerMessage> Await() {
    zmq::pollitem_t item{router_.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kPatience);
    return router_.Receive();
  }

  zmq::context_t context_;
  RouterChannel router_{context_, "inproc://test"};
  DealerChannel dealer_{context_, "inproc://test"};
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

TEST_F(ChannelTest, SaysWhenAPeerIsGoneOrAMessageIsTooLong) {
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

TEST_F(ChannelTest, AQueueThatIsFullDropsInsteadOfBlocking) {
  wire::ClientReply message;
  message.mutable_failure()->set_reason("x");
  bool dropped = false;
  for (int i = 0; i < 10 * kChannelMessagesMax && !dropped; ++i) dropped = !dealer_.Send(message);
  EXPECT_TRUE(dropped);
}

}  // namespace
}  // namespace dicom_sender
