#include "cli/program_options.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/arguments.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::StartsWith;

using WordList = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

enum class Color { kRed, kGreen, kBlue };

struct ShopOptions {
  std::vector<std::string> paths, endpoints;
  std::uint8_t small = 1;
  std::uint16_t port = 1;
  std::string text = "-";
  std::optional<std::string> address, session;
  std::chrono::seconds span{0};
  Color color = Color::kRed;
  LogFormat log_format = LogFormat::kText;
  bool open = false;
};

class ProgramOptionsTest : public testing::Test {
 protected:
  // A program for these tests, which do not depend on the options of a real one.
  Program Shop() {
    ShopOptions& o = options_;
    return {.name = "shop",
            .about = "Sells things.\n\n  shop [OPTION ...]\n",
            .groups = {{"Goods",
                        {{'x', "path", "PATH", "where", AddText(o.paths), true},
                         {0, "endpoint", "ENDPOINT", "whom to ask", AddText(o.endpoints), true, ','},
                         {0, "small", "N", "a small number", SetNumber(o.small, 0, 255)},
                         {'p', "port", "PORT", "its port", SetPort(o.port)},
                         {0, "text", "TEXT", "any text", SetText(o.text)}}},
                       {"Other",
                        {{0, "http-address", "HOST:PORT", "where to listen", SetAddress(o.address)},
                         {0, "session", "SESSION", "which one", SetUuid(o.session)},
                         {0, "span", "TIME", "how long", SetSpan(o.span)},
                         {0, "color", "COLOR", "red, green or blue",
                          SetChoice<Color>(o.color,
                                           {{"red", Color::kRed}, {"green", Color::kGreen}, {"blue", Color::kBlue}})},
                         {0, "log-format", "FORMAT", "text or json", SetLogFormat(o.log_format)},
                         {'o', "open", nullptr, "not closed", SetSwitch(o.open)}}}},
            .epilogue = "Examples\n  shop --open\n"};
  }

  static tl::expected<Given, EarlyExit> Parse(const Program& program, const WordList& words,
                                              const Variables& variables = {}) {
    return Arguments(words, variables).Parsed([&](int argc, const char* const* argv, const Environment& environment) {
      return ParseProgram(program, argc, argv, environment);
    });
  }
  Given Good(const Program& program, const WordList& words, const Variables& variables = {}) {
    const auto given = Parse(program, words, variables);
    EXPECT_TRUE(given) << given.error().err;
    return given ? *given : Given();
  }
  std::string Wrong(const Program& program, const WordList& words, const Variables& variables = {}) {
    const auto given = Parse(program, words, variables);
    EXPECT_FALSE(given) << testing::PrintToString(words);
    if (given) return "";
    EXPECT_EQ(given.error().exit_status, 2);
    EXPECT_EQ(given.error().out, "");
    return given.error().err;
  }

  ShopOptions options_;
};

TEST_F(ProgramOptionsTest, ValuesReachTheCallersOptions) {
  const Given given =
      Good(Shop(), Words("-x a --path=b --small 255 -p 65535 --text t -o --http-address [::1]:80 --span 2m "
                         "--color blue --log-format json --session 5E0C9A1E-8B1C-4F0E-9A59-0F6E4C1D2B3A"));
  EXPECT_THAT(options_.paths, ElementsAre("a", "b"));
  EXPECT_EQ(options_.small, 255);
  EXPECT_EQ(options_.port, 65535);
  EXPECT_EQ(options_.text, "t");
  EXPECT_EQ(options_.address, "[::1]:80");
  EXPECT_EQ(options_.session, "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a");
  EXPECT_EQ(options_.span, std::chrono::seconds(120));
  EXPECT_EQ(options_.color, Color::kBlue);
  EXPECT_EQ(options_.log_format, LogFormat::kJson);
  EXPECT_TRUE(options_.open);
  EXPECT_EQ(given.where.at("small"), "--small");
  EXPECT_FALSE(given.where.contains("endpoint"));
  EXPECT_TRUE(given.words.empty());
}

TEST_F(ProgramOptionsTest, EachErrorNamesTheProgram) {
  const std::pair<const char*, const char*> cases[] = {
      {"--small 256", "--small: '256' is invalid: give a whole number from 0 to 255"},
      {"--color pink", "--color: 'pink' is invalid: give red, green or blue"},
      {"--nonsense", "Unknown option '--nonsense': 'shop --help' lists all"},
      {"--text", "--text needs a value: give --text TEXT"},
      {"--text a --text b", "--text: given 2 times: give it once"},
      {"--colr red", "Unknown option '--colr'. Did you mean --color?"},
      {"--color-=red", "Unknown option '--color-=red'. Did you mean --color?"},
      {"-small", "Unknown option '-small'. Did you mean --small?"},
      {"--http", "Unknown option '--http'. Did you mean --http-address?"},
      {"show", "Unexpected argument 'show': see 'shop --help'"},
  };
  for (const auto& [words, says] : cases) EXPECT_EQ(Wrong(Shop(), Words(words)), fmt::format("shop: {}\n", says));
  EXPECT_EQ(Wrong(Shop(), {}, {{"DICOM_SENDER_SMALL", "x"}}),
            "shop: DICOM_SENDER_SMALL: 'x' is invalid: give a whole number from 0 to 255\n");
}

TEST_F(ProgramOptionsTest, AListInTheEnvironmentUsesTheSeparatorOfItsOption) {
  const Given given =
      Good(Shop(), {}, {{"DICOM_SENDER_PATH", "/a:/b,c"}, {"DICOM_SENDER_ENDPOINT", "tcp://one:1,,tcp://two:2,"}});
  EXPECT_THAT(options_.paths, ElementsAre("/a", "/b,c"));
  EXPECT_THAT(options_.endpoints, ElementsAre("tcp://one:1", "tcp://two:2"));
  EXPECT_THAT(given.where, ElementsAre(Pair("endpoint", "DICOM_SENDER_ENDPOINT"), Pair("path", "DICOM_SENDER_PATH")));
  EXPECT_EQ(Wrong(Shop(), {}, {{"DICOM_SENDER_ENDPOINT", ","}}), "shop: DICOM_SENDER_ENDPOINT: no value: give one\n");
}

TEST_F(ProgramOptionsTest, TheFileIsReadForAnyProgram) {
  const TemporaryFolder folder;
  const std::string file = folder / "shop.toml";
  std::ofstream(file) << "endpoint = [\"tcp://a:1\", \"tcp://b:2\"]\nopen = true\nsmall = 7\n";
  const Given given = Good(Shop(), {"--config", file, "--small", "9"});
  EXPECT_THAT(options_.endpoints, ElementsAre("tcp://a:1", "tcp://b:2"));
  EXPECT_TRUE(options_.open);
  EXPECT_EQ(options_.small, 9);
  EXPECT_EQ(given.where.at("open"), "open in " + file + ", line 2");
}

TEST_F(ProgramOptionsTest, TheFileMayBeginWithAByteOrderMark) {
  const TemporaryFolder folder;
  const std::string file = folder / "shop.toml";
  std::ofstream(file) << "\xEF\xBB\xBFsmall = 7\r\n";
  const Given given = Good(Shop(), {"--config", file});
  EXPECT_EQ(options_.small, 7);
  EXPECT_EQ(given.where.at("small"), "small in " + file + ", line 1");
}

TEST_F(ProgramOptionsTest, AFileInUtf16IsRefused) {
  const TemporaryFolder folder;
  const std::string file = folder / "shop.toml";
  for (const std::string_view mark : {"\xFF\xFE", "\xFE\xFF"}) {
    std::ofstream(file) << mark << std::string_view("s\0m\0", 4);
    EXPECT_EQ(Wrong(Shop(), {"--config", file}),
              "shop: --config: '" + file + "' is encoded in UTF-16: save it as UTF-8\n");
  }
}

TEST_F(ProgramOptionsTest, AsManyArgumentsAsDeclaredAreAccepted) {
  Program program = Shop();
  program.words_max = 2;
  EXPECT_THAT(Good(program, {"show", "--open", "5e0c"}).words, ElementsAre("show", "5e0c"));
  EXPECT_THAT(Good(program, {"-x", "a", "list"}).words, ElementsAre("list"));
  EXPECT_TRUE(Good(program, {}).words.empty());
  EXPECT_EQ(Wrong(program, {"show", "a", "b\n"}), "shop: Unexpected argument 'b\\n': see 'shop --help'\n");
  EXPECT_EQ(Wrong(program, {"show", "-q"}), "shop: Unknown option '-q': 'shop --help' lists all\n");
}

TEST_F(ProgramOptionsTest, ArgumentsAreNotMistakenForValuesOrOptions) {
  Program program = Shop();
  program.words_max = kAnyWords;
  EXPECT_THAT(Good(program, {"one", "-o", "two", "-x", "a", "three", "-p", "4", "--", "-five", "--small"}).words,
              ElementsAre("one", "two", "three", "-five", "--small"));
  EXPECT_THAT(options_.paths, ElementsAre("a"));
  EXPECT_TRUE(options_.open);
}

TEST_F(ProgramOptionsTest, AMisspelledOptionInTheFileGetsASuggestion) {
  const TemporaryFolder folder;
  const std::string file = folder / "shop.toml";
  std::ofstream(file) << "smal = 7\n";
  EXPECT_EQ(Wrong(Shop(), {"--config", file}),
            "shop: --config: Unknown option 'smal' in '" + file + "', line 1. Did you mean small?\n");
}

TEST_F(ProgramOptionsTest, TheProgramSpecificVariableTakesPrecedence) {
  Program program = Shop();
  ProgramOption& text = program.groups[0].options[4];
  ASSERT_STREQ(text.name, "text");
  EXPECT_EQ(Good(program, {}, {{"DICOM_SENDER_TEXT", "all"}, {"SHOP_TEXT", "own"}}).where.at("text"), "SHOP_TEXT");
  EXPECT_EQ(options_.text, "own");
  EXPECT_EQ(Good(program, {}, {{"DICOM_SENDER_TEXT", "all"}, {"SHOP_TEXT", ""}}).where.at("text"),
            "DICOM_SENDER_TEXT");
  text.own_variable = true;
  EXPECT_TRUE(Good(program, {}, {{"DICOM_SENDER_TEXT", "all"}}).where.empty());
  const std::string help = Parse(program, {"--help"}).error().out;
  EXPECT_THAT(help, HasSubstr("SHOP_TEXT, SHOP_CONFIG"));
  EXPECT_THAT(help, HasSubstr("such as SHOP_PORT or DICOM_SENDER_PORT for\n--port"));
}

TEST_F(ProgramOptionsTest, HelpMatchesTheOptionTable) {
  const auto parsed = Parse(Shop(), {"--nonsense", "-h"});
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().exit_status, 0);
  const std::string& help = parsed.error().out;
  EXPECT_THAT(help, StartsWith("Sells things.\n\n  shop [OPTION ...]\n\nGoods\n  -x, --path PATH"));
  EXPECT_THAT(help, HasSubstr("\nOther\n      --http-address HOST:PORT        where to listen\n"));
  EXPECT_THAT(help, HasSubstr("\n      --config FILE "));
  EXPECT_THAT(help, HasSubstr("\n  -V, --version "));
  EXPECT_THAT(help, HasSubstr("separated by ','"));
  EXPECT_THAT(help, EndsWith("\n\nExamples\n  shop --open\n"));
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
}

TEST_F(ProgramOptionsTest, AProgramWithoutOptionsHasTheCommonOnes) {
  const Program program = {.name = "nothing", .about = "Does nothing.\n"};
  Good(program, {});
  const std::string help = Parse(program, {"--help"}).error().out;
  EXPECT_THAT(help, HasSubstr("\nOptions\n      --config FILE"));
  EXPECT_THAT(help, Not(EndsWith("\n\n")));
  EXPECT_EQ(Parse(program, {"--version"}).error().out, "nothing " + std::string(ProgramVersion()) + "\n");
}

}  // namespace
}  // namespace dicom_sender
