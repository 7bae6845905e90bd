#include "worker/dicom/dimse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Bytes Encode(const Command& command) {
  Bytes out;
  EncodeCommand(command, out);
  return out;
}

Command StoreRequestCommand() {
  Command command;
  command.field = CommandField::kStoreRequest;
  command.message_id = 0x0102;
  command.has_dataset = true;
  command.sop_class_uid = "1.2";
  command.sop_instance_uid = "1.23";
  return command;
}

Command StoreResponseCommand() {
  Command command;
  command.field = CommandField::kStoreResponse;
  command.message_id = 7;
  command.status = 0xA700;
  command.error_comment = "full";
  command.offending_elements = {0x00100010, 0x7FE00010};
  return command;
}

// PS3.7 table 9.3-1, element by element.
TEST(DimseTest, StoreRequestIsLaidOutAsTheStandardSays) {
  const Bytes expected = {0, 0, 0x00, 0x00, 4, 0, 0, 0, 0x40, 0,    0,   0,     // group length
                          0, 0, 0x02, 0x00, 4, 0, 0, 0, '1',  '.',  '2', 0,     // affected SOP class, null padded
                          0, 0, 0x00, 0x01, 2, 0, 0, 0, 0x01, 0x00,             // C-STORE-RQ
                          0, 0, 0x10, 0x01, 2, 0, 0, 0, 0x02, 0x01,             // message id
                          0, 0, 0x00, 0x07, 2, 0, 0, 0, 0x00, 0x00,             // priority medium
                          0, 0, 0x00, 0x08, 2, 0, 0, 0, 0x01, 0x00,             // a dataset follows
                          0, 0, 0x00, 0x10, 4, 0, 0, 0, '1',  '.',  '2', '3'};  // affected SOP instance
  EXPECT_EQ(Encode(StoreRequestCommand()), expected);
}

TEST(DimseTest, StoreResponseSurvivesARound) {
  const Bytes bytes = Encode(StoreResponseCommand());
  const auto decoded = DecodeCommand(bytes);
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(decoded->field, CommandField::kStoreResponse);
  EXPECT_EQ(decoded->message_id, 7);
  EXPECT_EQ(decoded->status, 0xA700);
  EXPECT_EQ(decoded->error_comment, "full");
  EXPECT_FALSE(decoded->has_dataset);
  EXPECT_THAT(decoded->offending_elements, ElementsAre(0x00100010, 0x7FE00010));
}

TEST(DimseTest, StoreRequestSurvivesARound) {
  const Bytes bytes = Encode(StoreRequestCommand());
  const auto decoded = DecodeCommand(bytes);
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(decoded->message_id, 0x0102);
  EXPECT_TRUE(decoded->has_dataset);
  EXPECT_EQ(decoded->sop_class_uid, "1.2");
  EXPECT_EQ(decoded->sop_instance_uid, "1.23");
}

TEST(DimseTest, EchoSurvivesARound) {
  Command command;
  command.sop_class_uid = kVerificationSopClass;
  command.message_id = 9;
  const Bytes request = Encode(command);
  EXPECT_EQ(DecodeCommand(request)->field, CommandField::kEchoRequest);
  EXPECT_EQ(DecodeCommand(request)->sop_class_uid, kVerificationSopClass);
  command.field = CommandField::kEchoResponse;
  command.status = 0x0122;
  const Bytes response = Encode(command);
  EXPECT_EQ(DecodeCommand(response)->status, 0x0122);
  EXPECT_EQ(DecodeCommand(response)->message_id, 9);
}

// The SOP Instance UID comes last, so a request cut anywhere lacks something that is mandatory.
TEST(DimseTest, CutAnywhereIsAnError) {
  const Bytes whole = Encode(StoreRequestCommand());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(DecodeCommand(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)))) << size;
  }
}

Bytes Without(Bytes bytes, int element) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = 8U + bytes[at + 4];
    if ((bytes[at + 3] << 8 | bytes[at + 2]) == element) {
      bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                  bytes.begin() + static_cast<std::ptrdiff_t>(at + length));
      return bytes;
    }
    at += length;
  }
  ADD_FAILURE() << "no element " << element;
  return bytes;
}

TEST(DimseTest, EveryMandatoryElementIsMissed) {
  const Bytes request = Encode(StoreRequestCommand());
  for (const int element : {0x0002, 0x0100, 0x0110, 0x0800, 0x1000}) {
    EXPECT_FALSE(DecodeCommand(Without(request, element))) << element;
  }
  const Bytes response = Encode(StoreResponseCommand());
  for (const int element : {0x0100, 0x0120, 0x0800, 0x0900}) {
    EXPECT_FALSE(DecodeCommand(Without(response, element))) << element;
  }
  for (const int element : {0x0000, 0x0901, 0x0902}) {
    EXPECT_TRUE(DecodeCommand(Without(response, element))) << element;
  }
}

TEST(DimseTest, RefusesWhatIsNoCommandSet) {
  Bytes bytes = Encode(StoreResponseCommand());
  bytes[0] = 8;
  EXPECT_THAT(DecodeCommand(bytes).error(), HasSubstr("group 0008"));
  EXPECT_THAT(DecodeCommand(Bytes(kCommandBytesMax + 1)).error(), HasSubstr("at most"));
  EXPECT_FALSE(DecodeCommand(Bytes{0, 0, 0, 9, 0xFF, 0xFF, 0xFF, 0xFF}));
  const Bytes wide_status = {0, 0, 0, 9, 4, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_THAT(DecodeCommand(wide_status).error(), HasSubstr("4 bytes, not 2"));
  const Bytes odd_tag = {0, 0, 1, 9, 2, 0, 0, 0, 0, 0};
  EXPECT_THAT(DecodeCommand(odd_tag).error(), HasSubstr("offending element"));
  Bytes long_uid = {0, 0, 2, 0, 66, 0, 0, 0};
  long_uid.insert(long_uid.end(), 66, '1');
  EXPECT_THAT(DecodeCommand(long_uid).error(), HasSubstr("66 characters"));
}

}  // namespace
}  // namespace dicom_sender
