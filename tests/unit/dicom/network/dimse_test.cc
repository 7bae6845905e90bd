#include "dicom/network/dimse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

tl::expected<Command, std::string> Decode(const Bytes& bytes) {
  Remarks ignored;
  return DecodeCommand(bytes, ignored);
}

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
TEST(DimseTest, StoreRequestHasTheStandardsLayout) {
  const Bytes expected = {0, 0, 0x00, 0x00, 4, 0, 0, 0, 0x40, 0,    0,   0,     // group length
                          0, 0, 0x02, 0x00, 4, 0, 0, 0, '1',  '.',  '2', 0,     // affected SOP class, null padded
                          0, 0, 0x00, 0x01, 2, 0, 0, 0, 0x01, 0x00,             // C-STORE-RQ
                          0, 0, 0x10, 0x01, 2, 0, 0, 0, 0x02, 0x01,             // message id
                          0, 0, 0x00, 0x07, 2, 0, 0, 0, 0x00, 0x00,             // priority medium
                          0, 0, 0x00, 0x08, 2, 0, 0, 0, 0x01, 0x00,             // a dataset follows
                          0, 0, 0x00, 0x10, 4, 0, 0, 0, '1',  '.',  '2', '3'};  // affected SOP instance
  EXPECT_EQ(Encode(StoreRequestCommand()), expected);
}

TEST(DimseTest, StoreResponseSurvivesARoundTrip) {
  const Bytes bytes = Encode(StoreResponseCommand());
  const auto decoded = Decode(bytes);
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(decoded->field, CommandField::kStoreResponse);
  EXPECT_EQ(decoded->message_id, 7);
  EXPECT_EQ(decoded->status, 0xA700);
  EXPECT_EQ(decoded->error_comment, "full");
  EXPECT_FALSE(decoded->has_dataset);
  EXPECT_THAT(decoded->offending_elements, ElementsAre(0x00100010, 0x7FE00010));
}

TEST(DimseTest, StoreRequestSurvivesARoundTrip) {
  const Bytes bytes = Encode(StoreRequestCommand());
  const auto decoded = Decode(bytes);
  ASSERT_TRUE(decoded) << decoded.error();
  EXPECT_EQ(decoded->message_id, 0x0102);
  EXPECT_TRUE(decoded->has_dataset);
  EXPECT_EQ(decoded->sop_class_uid, "1.2");
  EXPECT_EQ(decoded->sop_instance_uid, "1.23");
}

TEST(DimseTest, EchoSurvivesARoundTrip) {
  Command command;
  command.sop_class_uid = kVerificationSopClass;
  command.message_id = 9;
  const Bytes request = Encode(command);
  EXPECT_EQ(Decode(request)->field, CommandField::kEchoRequest);
  EXPECT_EQ(Decode(request)->sop_class_uid, kVerificationSopClass);
  command.field = CommandField::kEchoResponse;
  command.status = 0x0122;
  const Bytes response = Encode(command);
  EXPECT_EQ(Decode(response)->status, 0x0122);
  EXPECT_EQ(Decode(response)->message_id, 9);
}

// The SOP Instance UID comes last, so every truncated request lacks a mandatory element.
TEST(DimseTest, ATruncatedCommandSetIsAnError) {
  const Bytes whole = Encode(StoreRequestCommand());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Decode(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)))) << size;
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

TEST(DimseTest, EveryMandatoryElementIsRequired) {
  const Bytes request = Encode(StoreRequestCommand());
  for (const int element : {0x0002, 0x0100, 0x0110, 0x0800, 0x1000}) {
    EXPECT_FALSE(Decode(Without(request, element))) << element;
  }
  const Bytes response = Encode(StoreResponseCommand());
  for (const int element : {0x0100, 0x0120, 0x0900}) {
    EXPECT_FALSE(Decode(Without(response, element))) << element;
  }
  for (const int element : {0x0000, 0x0800, 0x0901, 0x0902}) {
    EXPECT_TRUE(Decode(Without(response, element))) << element;
  }
}

TEST(DimseTest, RefusesMalformedCommandSets) {
  EXPECT_THAT(Decode(Bytes(kCommandBytesMax + 1)).error(), HasSubstr("at most"));
  EXPECT_FALSE(Decode(Bytes{0, 0, 0, 9, 0xFF, 0xFF, 0xFF, 0xFF}));
  Bytes other_group = Encode(StoreResponseCommand());
  for (std::size_t at = 0; at < other_group.size(); at += 8U + other_group[at + 4]) other_group[at] = 8;
  EXPECT_FALSE(Decode(other_group));
}

Bytes Element(std::uint16_t group, std::uint16_t element, const Bytes& value) {
  Bytes bytes = {static_cast<std::uint8_t>(group),
                 static_cast<std::uint8_t>(group >> 8),
                 static_cast<std::uint8_t>(element),
                 static_cast<std::uint8_t>(element >> 8),
                 static_cast<std::uint8_t>(value.size()),
                 static_cast<std::uint8_t>(value.size() >> 8),
                 0,
                 0};
  bytes.insert(bytes.end(), value.begin(), value.end());
  return bytes;
}
Bytes Joined(std::initializer_list<Bytes> parts) {
  Bytes bytes;
  for (const Bytes& part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}
const Bytes kField = Element(0, 0x0100, {0x01, 0x80});
const Bytes kRespondedTo = Element(0, 0x0120, {7, 0});
const Bytes kNoDataset = Element(0, 0x0800, {1, 1});
const Bytes kSuccess = Element(0, 0x0900, {0, 0});
const Bytes kClear = Joined({kField, kRespondedTo, kNoDataset, kSuccess});

struct Sloppy {
  const char* remark;  // nullptr: none
  Bytes bytes;
};

TEST(DimseTest, AnUnambiguousResponseIsAcceptedDespiteOtherDefects) {
  const Sloppy cases[] = {
      {nullptr, kClear},
      {nullptr, Joined({kSuccess, kNoDataset, kRespondedTo, kField})},
      {nullptr, Joined({kClear, kSuccess})},
      {nullptr, Joined({Element(0, 0, {0xFF, 0xFF, 0, 0}), kClear})},
      {nullptr, Joined({kClear, Element(0, 0x0902, Bytes(3000, 'x'))})},
      {nullptr, Joined({kClear, Element(0, 0x0110, {9, 9}), Element(0, 0x5010, {1, 2, 3})})},
      {"without a data set type", Joined({kField, kRespondedTo, kSuccess})},
      {"(0000,0800)", Joined({kField, kRespondedTo, Element(0, 0x0800, {1, 1, 0, 0}), kSuccess})},
      {"(0000,0900)", Joined({kField, kRespondedTo, kNoDataset, Element(0, 0x0900, {0, 0, 0, 0})})},
      {"(0000,0120)", Joined({kField, Element(0, 0x0120, {7, 0, 0, 0}), kNoDataset, kSuccess})},
      {"Offending Element", Joined({kClear, Element(0, 0x0901, {0x10, 0})})},
      {"Offending Element", Joined({kClear, Element(0, 0x0901, {0x10, 0, 1})})},
      {"64 characters in (0000,1000)", Joined({kClear, Element(0, 0x1000, Bytes(80, '1'))})},
      {"64 characters in (0000,0002)", Joined({kClear, Element(0, 0x0002, Bytes(1000, '1'))})},
      {"group 0008", Joined({kField, kRespondedTo, Element(8, 0x0016, {}), kNoDataset, kSuccess})},
      {"group 0009", Joined({kClear, Element(9, 0x0900, {0x00, 0xA7})})},
      {"inside an element", Joined({kClear, {0, 0, 0, 0}})},
      {"inside an element", Joined({kClear, {0, 0, 2, 9, 100, 0, 0, 0, 'x'}})},
      {"inside an element", Joined({kClear, Bytes(12, 0xFF)})},
  };
  for (const Sloppy& sloppy : cases) {
    Remarks ignored;
    const auto decoded = DecodeCommand(sloppy.bytes, ignored);
    const char* name = sloppy.remark == nullptr ? "no remark" : sloppy.remark;
    ASSERT_TRUE(decoded) << name << ": " << decoded.error();
    EXPECT_EQ(decoded->field, CommandField::kStoreResponse) << name;
    EXPECT_EQ(decoded->message_id, 7) << name;
    EXPECT_EQ(decoded->status, 0) << name;
    if (sloppy.remark == nullptr) {
      EXPECT_THAT(ignored.all(), IsEmpty());
    } else {
      EXPECT_THAT(ignored.all(), ElementsAre(HasSubstr(sloppy.remark)));
    }
  }
}

TEST(DimseTest, AContradictoryResponseIsRefused) {
  const Bytes other_status = Element(0, 0x0900, {0x00, 0xA7});
  EXPECT_THAT(Decode(Joined({kClear, other_status})).error(), HasSubstr("two values of its status"));
  EXPECT_THAT(Decode(Joined({other_status, kClear})).error(), HasSubstr("two values of its status"));
  EXPECT_FALSE(Decode(Joined({kClear, Element(0, 0x0120, {8, 0})})));
  EXPECT_FALSE(Decode(Joined({kClear, Element(0, 0x0100, {0x30, 0x80})})));
  EXPECT_TRUE(Decode(Joined({kClear, Element(0, 0x0800, {1, 0})}))) << "no dataset is read in any case";
}

TEST(DimseTest, AnAmbiguousStatusIsRefused) {
  for (const Bytes& status : {Bytes{}, Bytes{0}, Bytes{0, 0, 0, 0xA7}, Bytes{0, 0, 1}}) {
    EXPECT_THAT(Decode(Joined({kField, kRespondedTo, kNoDataset, Element(0, 0x0900, status)})).error(),
                HasSubstr("without a status"));
  }
}

TEST(DimseTest, RemarksAreBoundedAndUnique) {
  Bytes bytes = kClear;
  for (std::uint8_t group = 1; group < 200; ++group) {
    const Bytes element = Element(group, 0, {});
    bytes = Joined({bytes, element, element});
  }
  Remarks ignored;
  ASSERT_TRUE(DecodeCommand(bytes, ignored));
  EXPECT_EQ(ignored.all().size(), 16U);
}

}  // namespace
}  // namespace dicom_sender
