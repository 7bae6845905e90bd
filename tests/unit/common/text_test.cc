#include "common/text.h"

#include <gtest/gtest.h>

#include <set>

#include "common/uuid.h"

namespace dicom_sender {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

struct TextCase {
  std::string bytes, utf8, printable;
};

class Text : public testing::TestWithParam<TextCase> {};

TEST_P(Text, IsMadePrintable) {
  EXPECT_EQ(ToValidUtf8(GetParam().bytes), GetParam().utf8);
  EXPECT_EQ(ToPrintable(GetParam().bytes), GetParam().printable);
}

const std::string kWrong = "\xEF\xBF\xBD";  // U+FFFD

// The limits of each row of Unicode 15, table 3-7.
INSTANTIATE_TEST_SUITE_P(
    Bytes, Text,
    testing::Values(
        TextCase{"", "", ""}, TextCase{"plain ~", "plain ~", "plain ~"},
        TextCase{"\xC2\xA0\xDF\xBF", "\xC2\xA0\xDF\xBF", "\xC2\xA0\xDF\xBF"},
        TextCase{"\xE0\xA0\x80\xEF\xBF\xBF", "\xE0\xA0\x80\xEF\xBF\xBF", "\xE0\xA0\x80\xEF\xBF\xBF"},
        TextCase{"\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80"},
        TextCase{"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
                 "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
        TextCase{"a\xFF"s + "b", "a" + kWrong + "b", "a" + kWrong + "b"},  // Latin-1
        TextCase{"\xC1\xBF", kWrong + kWrong, kWrong + kWrong},            // overlong
        TextCase{"\xE0\x9F\xBF", kWrong + kWrong + kWrong, kWrong + kWrong + kWrong},
        TextCase{"\xF0\x8F\xBF\xBF", kWrong + kWrong + kWrong + kWrong, kWrong + kWrong + kWrong + kWrong},
        TextCase{"\xED\xA0\x80", kWrong + kWrong + kWrong, kWrong + kWrong + kWrong},  // surrogate
        TextCase{"\xF4\x90\x80\x80", kWrong + kWrong + kWrong + kWrong, kWrong + kWrong + kWrong + kWrong},
        TextCase{"\xF5", kWrong, kWrong}, TextCase{"\xE2\x82", kWrong + kWrong, kWrong + kWrong},  // cut off
        TextCase{"\xC3", kWrong, kWrong}, TextCase{"\x80", kWrong, kWrong},
        TextCase{"a\nb\r\t", "a\nb\r\t", "a\\nb\\r\\t"},
        TextCase{"\x1B[2J\x07\x7F"s + "\0x"s, "\x1B[2J\x07\x7F"s + "\0x"s, "\\x1b[2J\\x07\\x7f\\x00x"},
        TextCase{"\xC2\x9B"s + "2J", "\xC2\x9B"s + "2J", kWrong + "2J"}));  // CSI as one character

TEST(FormatBytes, PicksTheUnitAfterRounding) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(1024 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(3ULL << 29), "1.5 GiB");
  EXPECT_EQ(FormatBytes(30ULL << 40), "30.0 TiB");
  EXPECT_EQ(FormatBytes(~0ULL), "16384.0 PiB");
}

TEST(FormatDuration, PicksTheUnitAfterRounding) {
  EXPECT_EQ(FormatDuration(0s), "0.0 s");
  EXPECT_EQ(FormatDuration(440ms), "0.4 s");
  EXPECT_EQ(FormatDuration(9940ms), "9.9 s");
  EXPECT_EQ(FormatDuration(9960ms), "10 s");
  EXPECT_EQ(FormatDuration(12s), "12 s");
  EXPECT_EQ(FormatDuration(59700ms), "1 min 00 s");
  EXPECT_EQ(FormatDuration(185s), "3 min 05 s");
  EXPECT_EQ(FormatDuration(3599700ms), "1 h 00 min");
  EXPECT_EQ(FormatDuration(2h + 7min + 59s), "2 h 07 min");
  EXPECT_EQ(FormatDuration(60h), "60 h 00 min");
}

TEST(FormatWait, HasAtMostTwoUnitsAndIsRoundedUp) {
  EXPECT_EQ(FormatWait(Duration(0)), "0 s");
  EXPECT_EQ(FormatWait(1ms), "1 s");
  EXPECT_EQ(FormatWait(119s), "119 s");
  EXPECT_EQ(FormatWait(121s), "3 min");
  EXPECT_EQ(FormatWait(5h + 59min), "5 h 59 min");
  EXPECT_EQ(FormatWait(6h), "6 h");
  EXPECT_EQ(FormatWait(51h), "2 d 3 h");
  EXPECT_EQ(FormatWait(72h), "3 d");
}

TEST(FormatRfc3339, IsUtcWithMilliseconds) {
  EXPECT_EQ(FormatRfc3339(WallTime(1725982215123ms)), "2024-09-10T15:30:15.123Z");
  EXPECT_EQ(FormatRfc3339(WallTime(-1ms)), "1969-12-31T23:59:59.999Z");
}

TEST(Uuid, IsUniqueAndRecognized) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = NewUuid();
    EXPECT_TRUE(IsUuid(uuid)) << uuid;
    EXPECT_EQ(uuid[14], '4') << "random: RFC 4122 version 4, " << uuid;
    EXPECT_TRUE(seen.insert(uuid).second) << uuid;
  }
}

TEST(Uuid, OtherTextIsNotRecognized) {
  EXPECT_TRUE(IsUuid("5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a"));
  for (const std::string text : {"", "5e0c9a1e", "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3",
                                 "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3aa", "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3g",
                                 "5e0c9a1e08b1c-4f0e-9a59-0f6e4c1d2b3a", "../e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b"}) {
    EXPECT_FALSE(IsUuid(text)) << text;
  }
  EXPECT_FALSE(IsUuid("5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3\0"s));
}

}  // namespace
}  // namespace dicom_sender
