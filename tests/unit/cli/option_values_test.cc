#include "cli/option_values.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using namespace std::string_literals;
using std::chrono::seconds;

TEST(OptionValues, Numbers) {
  EXPECT_EQ(ParseNumber("1", 1, 256), 1U);
  EXPECT_EQ(ParseNumber("256", 1, 256), 256U);
  EXPECT_EQ(ParseNumber("007", 1, 256), 7U);
  EXPECT_EQ(ParseNumber("0", 0, 9), 0U);
  for (const std::string text :
       {"", "0", "257", "-1", "+1", " 1", "1 ", "1.5", "1e2", "0x10", "4294967297", "99999999999999999999", "one"}) {
    const auto number = ParseNumber(text, 1, 256);
    ASSERT_FALSE(number) << text;
    EXPECT_EQ(number.error(), "'" + text + "' is invalid: give a whole number from 1 to 256");
  }
}

TEST(OptionValues, Switches) {
  for (const char* text : {"true", "yes", "on", "1", "TRUE", "Yes"}) EXPECT_EQ(ParseSwitch(text), true) << text;
  for (const char* text : {"false", "no", "off", "0", "False"}) EXPECT_EQ(ParseSwitch(text), false) << text;
  for (const char* text : {"", "2", "tru", "enable", "-"}) EXPECT_FALSE(ParseSwitch(text)) << text;
}

TEST(OptionValues, Times) {
  const auto parse = [](std::string_view text) { return ParseTime(text, seconds(0), std::chrono::days(30)); };
  EXPECT_EQ(parse("0"), seconds(0));
  EXPECT_EQ(parse("90"), seconds(90));
  EXPECT_EQ(parse("90s"), seconds(90));
  EXPECT_EQ(parse("10m"), seconds(600));
  EXPECT_EQ(parse("6h"), seconds(21600));
  EXPECT_EQ(parse("30d"), seconds(2592000));
  EXPECT_EQ(parse("1h30m"), seconds(5400));
  EXPECT_EQ(parse("1d2h3m4s"), seconds(93784));
  EXPECT_EQ(parse("1d4s"), seconds(86404));
  for (const char* text : {"",
                           "m",
                           "-1",
                           "+1",
                           "1.5h",
                           "6 h",
                           " 6h",
                           "6H",
                           "6w",
                           "31d",
                           "29d25h",
                           "4294967295d",
                           "2592001",
                           "30m1h",
                           "1h1h",
                           "1h30",
                           "hm",
                           "1ms",
                           "99999999999999999999s",
                           "inf"}) {
    EXPECT_FALSE(parse(text)) << text;
  }
}

TEST(OptionValues, TheRangeOfATimeIsShownWithUnits) {
  EXPECT_EQ(ParseTime("1", seconds(1), seconds(3600)), seconds(1));
  EXPECT_EQ(ParseTime("1h", seconds(1), seconds(3600)), seconds(3600));
  for (const std::string text : {"0", "0s", "1h1s", "3601"}) {
    EXPECT_EQ(ParseTime(text, seconds(1), seconds(3600)).error(),
              "'" + text + "' is invalid: give a time from 1s to 1h, in seconds or with s, m, h, or d");
  }
  EXPECT_EQ(TimeText(seconds(0)), "0s");
  EXPECT_EQ(TimeText(seconds(93784)), "1d2h3m4s");
}

TEST(OptionValues, Sizes) {
  const auto parse = [](std::string_view text) { return ParseSize(text, 1, std::uint64_t{2} << 30); };
  EXPECT_EQ(parse("512"), 512U);
  EXPECT_EQ(parse("64K"), 65536U);
  EXPECT_EQ(parse("64k"), 65536U);
  EXPECT_EQ(parse("20M"), 20971520U);
  EXPECT_EQ(parse("2G"), 2147483648U);
  for (const char* text : {"", "K", "0", "0K", "-1", "1.5K", "64 K", "64KB", "3G", "4294967295G", "1T", "K1"}) {
    EXPECT_FALSE(parse(text)) << text;
  }
  EXPECT_EQ(ParseSize("3K", 4096, 131072).error(),
            "'3K' is invalid: give a size from 4K to 128K, in bytes or with K, M, or G");
  EXPECT_EQ(SizeText(1), "1");
  EXPECT_EQ(SizeText(4097), "4097");
  EXPECT_EQ(SizeText(1 << 20), "1M");
}

// PS3.5 6.2, value representation AE.
TEST(OptionValues, AeTitles) {
  EXPECT_EQ(ParseAeTitle("A"), "A");
  EXPECT_EQ(ParseAeTitle("SIXTEEN-LETTERS!"), "SIXTEEN-LETTERS!");
  EXPECT_EQ(ParseAeTitle("my pacs~"), "my pacs~");
  EXPECT_EQ(ParseAeTitle("  SIXTEEN-LETTERS!  "), "SIXTEEN-LETTERS!") << "surrounding spaces are insignificant";
  for (const std::string& text : {""s, " "s, "                "s, "SEVENTEEN-LETTERS"s, "A\\B"s, "A\nB"s, "A\x7F"s,
                                  "A\tB"s, "PÄCS"s, "A\0B"s}) {
    EXPECT_FALSE(ParseAeTitle(text)) << text;
  }
  EXPECT_EQ(ParseAeTitle("SEVENTEEN-LETTERS").error(),
            "'SEVENTEEN-LETTERS' is 17 characters long: an AE title has at most 16");
}

TEST(OptionValues, Hosts) {
  for (const std::string text :
       {"localhost", "pacs.example.org", "PACS_1", "192.0.2.7", "::1", "2001:db8::7", "fe80::1%eth0"}) {
    EXPECT_EQ(ParseHost(text), text);
  }
  for (const std::string& text :
       {""s, " "s, "a b"s, "pacs:104"s, "http://pacs"s, "[::1]"s, "päcs"s, "a\nb"s, std::string(254, 'a')}) {
    EXPECT_FALSE(ParseHost(text)) << text;
  }
}

TEST(OptionValues, Addresses) {
  for (const std::string text : {"127.0.0.1:9464", "localhost:1", "[::1]:65535"}) EXPECT_EQ(ParseAddress(text), text);
  for (const std::string text : {"", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                                 "::1:9464", "[::1]", "[a]:1", "[]:1", "a b:1"}) {
    EXPECT_FALSE(ParseAddress(text)) << text;
  }
}

TEST(OptionValues, Uuids) {
  EXPECT_EQ(ParseUuid("5E0C9A1E-8b1c-4f0e-9a59-0f6e4c1d2b3a"), "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a");
  for (const char* text :
       {"", "1", "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3", "../../../../../../../../../../etc/pass"}) {
    EXPECT_FALSE(ParseUuid(text)) << text;
  }
}

TEST(OptionValues, ErrorsContainNoControlCharacters) {
  const std::string evil = "\x1B[2J\nx";
  for (const std::string& error :
       {ParseNumber(evil, 1, 2).error(), ParseSwitch(evil).error(), ParseTime(evil, seconds(1), seconds(2)).error(),
        ParseSize(evil, 1, 2).error(), ParseAeTitle(evil).error(), ParseHost(evil).error(),
        ParseAddress(evil).error(), ParseUuid(evil).error(), CheckInput(evil).error(),
        PrepareOutputFolder(evil + "/a", false).error()}) {
    EXPECT_EQ(error.find_first_of("\x1B\n"), std::string::npos) << error;
    EXPECT_NE(error.find("\\x1b[2J\\nx"), std::string::npos) << error;
  }
}

class FilesTest : public testing::Test {
 protected:
  std::string Write(const std::string& name) {
    std::ofstream(folder_ / name) << "x";
    return folder_ / name;
  }
  bool IsEmpty(const std::string& folder) { return std::filesystem::is_empty(folder); }
  TemporaryFolder folder_;
};

TEST_F(FilesTest, InputsMustExist) {
  EXPECT_TRUE(CheckInput(folder_.path()));
  EXPECT_TRUE(CheckInput(Write("file")));
  const std::string missing = folder_ / "missing";
  EXPECT_EQ(CheckInput(missing).error(), "'" + missing + "' does not exist: check the path");
  EXPECT_FALSE(CheckInput(""));
  EXPECT_FALSE(CheckInput("/dev/null"));
  const std::string below_a_file = Write("file") + "/x";
  EXPECT_NE(CheckInput(below_a_file).error().find("Not a directory"), std::string::npos)
      << CheckInput(below_a_file).error();
}

TEST_F(FilesTest, OutputFoldersAreCreatedAndLeftEmpty) {
  const std::string deep = folder_ / "a/b/c";
  EXPECT_FALSE(PrepareOutputFolder(deep, false));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a"));
  EXPECT_TRUE(PrepareOutputFolder(deep, true));
  EXPECT_TRUE(IsEmpty(deep));
  EXPECT_TRUE(PrepareOutputFolder(deep, true)) << "it exists by now";
  EXPECT_TRUE(PrepareOutputFolder(deep + "/", false));
  EXPECT_TRUE(IsEmpty(deep));
}

TEST_F(FilesTest, UnusableOutputFoldersAreRefused) {
  const std::string file = Write("file");
  EXPECT_FALSE(PrepareOutputFolder("", true));
  EXPECT_FALSE(PrepareOutputFolder(file, true));
  EXPECT_FALSE(PrepareOutputFolder(file + "/below", true));
  const auto unwritable = PrepareOutputFolder("/proc", true);  // not writable even for root
  ASSERT_FALSE(unwritable);
  EXPECT_NE(unwritable.error().find("'/proc'"), std::string::npos) << unwritable.error();
}

}  // namespace
}  // namespace dicom_sender
