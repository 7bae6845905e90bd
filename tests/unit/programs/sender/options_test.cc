#include "programs/sender/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/arguments.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kSession = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";

using WordList = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

auto Parse(const WordList& words, const Variables& variables = {}) {
  return Arguments(words, variables).Parsed(ParseOptions);
}

// An option with a non-default value, and the setting that it changes.
struct Setting {
  std::string option, value;
  bool (*is_set)(const SenderOptions&);
};
const Setting kSettings[] = {
    {"recursive", "true", [](const SenderOptions& o) { return o.recursive; }},
    {"scan-threads", "64", [](const SenderOptions& o) { return o.scan_threads == 64; }},
    {"ae-title", "YOU", [](const SenderOptions& o) { return o.called_ae == "YOU"; }},
    {"host", "h", [](const SenderOptions& o) { return o.host == "h"; }},
    {"port", "65535", [](const SenderOptions& o) { return o.port == 65535; }},
    {"calling-ae", "ME", [](const SenderOptions& o) { return o.calling_ae == "ME"; }},
    {"threads", "256", [](const SenderOptions& o) { return o.threads == 256; }},
    {"dispatch", "as-found", [](const SenderOptions& o) { return o.dispatch == DispatchMode::kAsFound; }},
    {"max-attempts", "100", [](const SenderOptions& o) { return o.attempts_max == 100; }},
    {"retry-for", "6h", [](const SenderOptions& o) { return o.retry_for == seconds(21600); }},
    {"max-requests-per-association", "1000",
     [](const SenderOptions& o) { return o.requests_per_association_max == 1000; }},
    {"async-window", "4", [](const SenderOptions& o) { return o.async_window == 4; }},
    {"max-pdu", "4096", [](const SenderOptions& o) { return o.max_pdu_bytes == 4096; }},
    {"connect-timeout", "1", [](const SenderOptions& o) { return o.connect_timeout == seconds(1); }},
    {"acse-timeout", "2", [](const SenderOptions& o) { return o.acse_timeout == seconds(2); }},
    {"dimse-timeout", "3", [](const SenderOptions& o) { return o.dimse_timeout == seconds(3); }},
    {"idle-timeout", "3600", [](const SenderOptions& o) { return o.idle_timeout == seconds(3600); }},
    {"log-format", "json", [](const SenderOptions& o) { return o.log_format == LogFormat::kJson; }},
    {"metrics", "127.0.0.1:9464", [](const SenderOptions& o) { return o.metrics == "127.0.0.1:9464"; }},
    {"verbose", "true", [](const SenderOptions& o) { return o.verbose; }},
    {"delete-ledger", "true", [](const SenderOptions& o) { return o.delete_ledger; }},
};

std::string VariableOf(const std::string& option) {
  std::string name = "DICOM_SENDER_" + option;
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

class OptionsTest : public testing::Test {
 protected:
  OptionsTest() {
    std::filesystem::create_directories(data_);
    std::filesystem::create_directories(out_);
  }

  // The required options and the given ones.
  WordList With(const WordList& more) const {
    WordList all = {"-i", data_, "-a", "ARCHIVE", "-H", "pacs.example.org", "-p", "104", "--output-dir", out_};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  SenderOptions Good(const WordList& arguments, const Variables& variables = {}) {
    const auto parsed = Parse(arguments, variables);
    EXPECT_TRUE(parsed) << parsed.error().err;
    return parsed ? *parsed : SenderOptions();
  }
  // Returns the single line of the error.
  std::string Wrong(const WordList& arguments, const Variables& variables = {}) {
    const auto parsed = Parse(arguments, variables);
    EXPECT_FALSE(parsed) << testing::PrintToString(arguments);
    if (parsed) return "";
    EXPECT_EQ(parsed.error().exit_status, 2);
    EXPECT_EQ(parsed.error().out, "");
    const std::string& line = parsed.error().err;
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
    EXPECT_TRUE(line.ends_with('\n')) << line;
    EXPECT_THAT(line, StartsWith("dicom-sender: "));
    return line;
  }
  std::string Config(const std::string& text) {
    const std::string file = folder_ / "migration.toml";
    std::ofstream(file) << text;
    return file;
  }

  TemporaryFolder folder_;
  std::string data_ = folder_ / "data";
  std::string out_ = folder_ / "out";
};

TEST_F(OptionsTest, DefaultsAreTheDocumentedOnes) {
  const SenderOptions options = Good(With({}));
  EXPECT_THAT(options.inputs, ElementsAre(data_));
  EXPECT_FALSE(options.recursive);
  EXPECT_EQ(options.scan_threads, std::clamp(std::thread::hardware_concurrency(), 1U, 64U));
  EXPECT_EQ(options.called_ae, "ARCHIVE");
  EXPECT_EQ(options.host, "pacs.example.org");
  EXPECT_EQ(options.port, 104);
  EXPECT_EQ(options.calling_ae, "RUST_SCU");
  EXPECT_EQ(options.threads, 1U);
  EXPECT_EQ(options.dispatch, DispatchMode::kAfterScan);
  EXPECT_EQ(options.max_pdu_bytes, 131072U);
  EXPECT_EQ(options.connect_timeout, seconds(10));
  EXPECT_EQ(options.acse_timeout, seconds(30));
  EXPECT_EQ(options.dimse_timeout, seconds(120));
  EXPECT_EQ(options.idle_timeout, seconds(60));
  EXPECT_EQ(options.attempts_max, 5U);
  EXPECT_FALSE(options.retry_for);
  EXPECT_EQ(options.requests_per_association_max, 0U);
  EXPECT_EQ(options.async_window, 16U);
  EXPECT_EQ(options.log_format, LogFormat::kText);
  EXPECT_FALSE(options.metrics || options.verbose || options.echo || options.dry_run || options.resume ||
               options.retry_failed || options.start_new || options.delete_ledger || options.list_sessions);
  EXPECT_FALSE(options.given.contains("threads"));
  EXPECT_EQ(options.given.at("ae-title"), "--ae-title");
  EXPECT_EQ(SenderOptions().output_dir, ".");
}

TEST_F(OptionsTest, ShortNamesAreThoseOfTheOlderTool) {
  const SenderOptions options = Good({"-i", data_, "-i", out_, "-r", "-c", "ME", "-a", "ARCHIVE", "-H", "::1", "-p",
                                      "11112", "-t", "8", "-v", "--output-dir", out_});
  EXPECT_THAT(options.inputs, ElementsAre(data_, out_));
  EXPECT_TRUE(options.recursive);
  EXPECT_TRUE(options.verbose);
  EXPECT_EQ(options.calling_ae, "ME");
  EXPECT_EQ(options.host, "::1");
  EXPECT_EQ(options.port, 11112);
  EXPECT_EQ(options.threads, 8U);
}

TEST_F(OptionsTest, EachSettingDiffersFromTheDefault) {
  const SenderOptions options = Good(With({}));
  for (const Setting& setting : kSettings) EXPECT_FALSE(setting.is_set(options)) << setting.option;
}

TEST_F(OptionsTest, EachOptionHasALongName) {
  WordList words = {"--input=" + data_, "--output-dir", out_, "--keep-ledger", "--new"};
  for (const Setting& setting : kSettings) {
    if (setting.value == "true") {
      words.push_back("--" + setting.option);
    } else {
      words.insert(words.end(), {"--" + setting.option, setting.value});
    }
  }
  const SenderOptions options = Good(words);
  for (const Setting& setting : kSettings) {
    EXPECT_TRUE(setting.is_set(options)) << setting.option;
    EXPECT_EQ(options.given.at(setting.option), "--" + setting.option);
  }
  EXPECT_THAT(options.inputs, ElementsAre(data_));
  EXPECT_EQ(options.output_dir, out_);
  EXPECT_TRUE(options.start_new);
}

TEST_F(OptionsTest, EachOptionReadsItsVariable) {
  Variables variables = {{"DICOM_SENDER_INPUT", data_ + ":" + out_ + ":"},
                         {"DICOM_SENDER_OUTPUT_DIR", out_},
                         {"DICOM_SENDER_KEEP_LEDGER", "1"},
                         {"DICOM_SENDER_DRY_RUN", "off"},
                         {"DICOM_SENDER_RESUME", ""},  // the same as unset
                         {"DICOM_SENDER_HELP", "true"}};
  for (const Setting& setting : kSettings) variables[VariableOf(setting.option)] = setting.value;
  const SenderOptions options = Good({}, variables);
  for (const Setting& setting : kSettings) {
    EXPECT_TRUE(setting.is_set(options)) << setting.option;
    EXPECT_EQ(options.given.at(setting.option), VariableOf(setting.option));
  }
  EXPECT_THAT(options.inputs, ElementsAre(data_, out_));
  EXPECT_EQ(options.output_dir, out_);
  EXPECT_FALSE(options.dry_run || options.resume);

  EXPECT_TRUE(Good({"--output-dir", out_}, {{"DICOM_SENDER_RESUME", kSession}, {"DICOM_SENDER_RETRY_FAILED", "on"}})
                  .retry_failed);
  EXPECT_TRUE(Good({"-a", "A", "-H", "h", "-p", "1"}, {{"DICOM_SENDER_ECHO", "on"}}).echo);
  EXPECT_EQ(Good(With({}), {{"DICOM_SENDER_CONFIG", Config("threads = 12\n")}}).threads, 12U);
}

TEST_F(OptionsTest, EachOptionIsReadFromTheFile) {
  std::string text = "input = '" + data_ + "'\noutput-dir = '" + out_ + "'\n";
  for (const Setting& setting : kSettings) {
    text += setting.option + (setting.value == "true" ? " = true\n" : " = '" + setting.value + "'\n");
  }
  const std::string file = Config(text);
  const SenderOptions options = Good({"--config", file});
  int line = 2;
  for (const Setting& setting : kSettings) {
    EXPECT_TRUE(setting.is_set(options)) << setting.option;
    EXPECT_EQ(options.given.at(setting.option), setting.option + " in " + file + ", line " + std::to_string(++line));
  }
}

TEST_F(OptionsTest, SwitchesAcceptBooleanWords) {
  for (const char* on : {"yes", "true", "1", "on"}) {
    EXPECT_TRUE(Good(With({}), {{"DICOM_SENDER_RECURSIVE", on}}).recursive) << on;
  }
}

TEST_F(OptionsTest, PathsAreNotChanged) {
  for (const std::string name : {"[a,b]", "{}", "%%", "a b", "-x", "#1", "a:b", "\"q\"", "\xFF"}) {
    const std::string path = folder_ / name;
    std::filesystem::create_directories(path);
    EXPECT_THAT(Good({"-i", path, "--dry-run", "--output-dir", out_}).inputs, ElementsAre(path));
  }
}

TEST_F(OptionsTest, PathsMayBePositionalArguments) {
  const std::string file = data_ + "/-1.dcm";
  std::ofstream(file) << "x";
  const WordList rest = {"-r", out_, "-a", "A", "-H", "h", "-p", "1", "--output-dir", out_};
  WordList words = {data_, "-v"};
  words.insert(words.end(), rest.begin(), rest.end());
  EXPECT_THAT(Good(words).inputs, ElementsAre(data_, out_));
  words.insert(words.end(), {"-i", file});
  EXPECT_THAT(Good(words).inputs, ElementsAre(file, data_, out_));
  EXPECT_THAT(Good(rest, {{"DICOM_SENDER_INPUT", data_}}).inputs, ElementsAre(out_))
      << "the command line wins over the environment";
  EXPECT_THAT(Good({"--dry-run", "--output-dir", out_, "--", data_}).inputs, ElementsAre(data_));
}

TEST_F(OptionsTest, TimesAndSizesAcceptUnits) {
  const SenderOptions options = Good(With({"--max-pdu", "64K", "--connect-timeout", "30s", "--acse-timeout", "1m30s",
                                           "--dimse-timeout", "1h", "--idle-timeout", "2m", "--retry-for", "1h30m"}));
  EXPECT_EQ(options.max_pdu_bytes, 65536U);
  EXPECT_EQ(options.connect_timeout, seconds(30));
  EXPECT_EQ(options.acse_timeout, seconds(90));
  EXPECT_EQ(options.dimse_timeout, seconds(3600));
  EXPECT_EQ(options.idle_timeout, seconds(120));
  EXPECT_EQ(options.retry_for, seconds(5400));
}

struct WrongCase {
  WordList more;
  std::string says;
};

TEST_F(OptionsTest, EachWrongOptionIsNamedInOneLine) {
  const std::vector<WrongCase> cases = {
      {{"--threads", "0"}, "--threads: '0' is invalid: give a whole number from 1 to 256"},
      {{"-t", "257"}, "--threads: '257'"},
      {{"-t", "-1"}, "--threads: '-1'"},
      {{"-t", "two"}, "--threads: 'two'"},
      {{"--scan-threads", "0"}, "--scan-threads: '0' is invalid: give a whole number from 1 to 64"},
      {{"--scan-threads", "65"}, "--scan-threads: '65'"},
      {{"--max-pdu", "4095"}, "--max-pdu: '4095' is invalid: give a size from 4K to 128K"},
      {{"--max-pdu", "131073"}, "--max-pdu: '131073'"},
      {{"--connect-timeout", "0"}, "--connect-timeout: '0' is invalid: give a time from 1s to 1h"},
      {{"--acse-timeout", "3601"}, "--acse-timeout: '3601'"},
      {{"--dimse-timeout", "1.5"}, "--dimse-timeout: '1.5'"},
      {{"--idle-timeout", "-5"}, "--idle-timeout: '-5'"},
      {{"--retry-for", "forever"}, "--retry-for: 'forever'"},
      {{"--max-attempts", "0"}, "--max-attempts: '0' is invalid: give a whole number from 1 to 100"},
      {{"--max-attempts", "101"}, "--max-attempts: '101'"},
      {{"--max-requests-per-association", "x"}, "--max-requests-per-association: 'x'"},
      {{"--dispatch", "now"}, "--dispatch: 'now' is invalid: give after-scan or as-found"},
      {{"--log-format", "xml"}, "--log-format: 'xml' is invalid: give text or json"},
      {{"--metrics", "9464"}, "--metrics: '9464' is invalid: give HOST:PORT such as 127.0.0.1:9464"},
      {{"-c", "SEVENTEEN-LETTERS"}, "--calling-ae: 'SEVENTEEN-LETTERS' is 17 characters long"},
      {{"-c", ""}, "--calling-ae: empty value"},
      {{"--resume", "yesterday"}, "--resume: 'yesterday' is not a session ID"},
      {{"--recursive=maybe"}, "--recursive: 'maybe' is invalid: give true or false"},
      {{"-p", "105"}, "--port: given 2 times: give it once"},
      {{"--retry-failed"}, "--retry-failed is only for a resumed session: add --resume"},
      {{"--format", "json"}, "--format is only for --dry-run and"},
      {{"--dry-run", "--format", "xml"}, "--format: 'xml' is invalid: give text or json"},
      {{"--echo", "--dry-run"}, "--dry-run does not go with --echo: give one of them"},
      {{"--echo", "--resume", kSession}, "--resume does not go with --echo"},
      {{"--dry-run", "--resume", kSession}, "--resume does not go with --dry-run"},
      {{"--config", "/nonexistent/x.toml"}, "--config: '/nonexistent/x.toml' cannot be read: check the path"},
      {{"--config", "/"}, "--config: '/' cannot be read"},
      {{"-i", "/nonexistent/data"}, "--input: '/nonexistent/data' does not exist: check the path"},
      {{"-i", ""}, "--input: empty value"},
      {{"--thread", "2"}, "Unknown option '--thread'. Did you mean --threads?"},
      {{"-x"}, "Unknown option '-x'"},
      {{"-rx"}, "Unknown option '-x'"},
      {{"/nonexistent/other"}, "'/nonexistent/other' does not exist: check the path"},
      {{"--evil\x1B[2J\n"}, "Unknown option '--evil\\x1b[2J\\n'"},
      {{"--threads"}, "--threads needs a value: give --threads N"},
      {{"-c"}, "--calling-ae needs a value: give --calling-ae AE"},
      {{"-t", "-v"}, "--threads needs a value"},
  };
  for (const WrongCase& wrong : cases) EXPECT_THAT(Wrong(With(wrong.more)), HasSubstr(wrong.says));
}

// The required options cannot be given twice.
TEST_F(OptionsTest, EachWrongDestinationIsNamedInOneLine) {
  const auto destination = [&](const std::string& ae, const std::string& host, const std::string& port) {
    return Wrong({"-i", data_, "-a", ae, "-H", host, "-p", port, "--output-dir", out_});
  };
  EXPECT_THAT(destination("A\\B", "h", "104"), HasSubstr("--ae-title: 'A\\B' is not an AE title"));
  EXPECT_THAT(destination("   ", "h", "104"), HasSubstr("--ae-title: empty value"));
  EXPECT_THAT(destination("A", "", "104"), HasSubstr("--host: empty value"));
  EXPECT_THAT(destination("A", "h:104", "104"), HasSubstr("--host: 'h:104' is not a host: give the host alone"));
  EXPECT_THAT(destination("A", "h", "0"), HasSubstr("--port: '0' is invalid: give a whole number from 1 to 65535"));
  EXPECT_THAT(destination("A", "h", "65536"), HasSubstr("--port: '65536'"));
  EXPECT_THAT(destination("A", "h", "dicom"), HasSubstr("--port: 'dicom'"));
}

TEST_F(OptionsTest, MissingOptionsAreNamed) {
  EXPECT_THAT(Wrong({}), HasSubstr("-i/--input, -a/--ae-title, -H/--host, -p/--port are missing"));
  EXPECT_THAT(Wrong({"-i", data_, "-a", "A", "-H", "h"}), HasSubstr("dicom-sender: -p/--port is missing"));
  EXPECT_THAT(Wrong({"--echo", "-a", "A"}), HasSubstr("dicom-sender: -H/--host, -p/--port are missing"));
  EXPECT_THAT(Wrong({"--dry-run"}), HasSubstr("dicom-sender: -i/--input is missing"));
}

TEST_F(OptionsTest, EchoNeedsNoInputAndNoFolder) {
  const SenderOptions options = Good({"--echo", "-a", "A", "-H", "h", "-p", "104", "--output-dir", "/nonexistent"});
  EXPECT_TRUE(options.echo);
  EXPECT_EQ(options.calling_ae, "RUST_SCU");
}

TEST_F(OptionsTest, DryRunNeedsNoDestination) {
  const SenderOptions options = Good({"--dry-run", "-i", data_, "--output-dir", out_});
  EXPECT_TRUE(options.dry_run);
  EXPECT_FALSE(options.called_ae || options.host || options.port);
  EXPECT_EQ(Good(With({"--dry-run"})).called_ae, "ARCHIVE");
  EXPECT_EQ(Good(With({"--dry-run", "--format", "json"})).format, PlanFormat::kJson);
  EXPECT_THAT(Wrong({"--dry-run", "-i", data_, "-H", "h"}), HasSubstr("-a/--ae-title, -p/--port are missing"))
      << "an incomplete destination is an error";
}

TEST_F(OptionsTest, ResumeNeedsNoOtherOptionsButComparesTheGivenOnes) {
  SenderOptions options = Good({"--resume", kSession, "--retry-failed", "--output-dir", out_});
  EXPECT_EQ(options.resume, kSession);
  EXPECT_TRUE(options.retry_failed);
  EXPECT_FALSE(options.called_ae || options.host || options.port || options.calling_ae);
  EXPECT_TRUE(options.inputs.empty());

  options = Good(
      {"--resume", kSession, "-a", "A", "-c", "ME", "-i", "/nonexistent", "--max-pdu", "4096", "--output-dir", out_});
  EXPECT_EQ(options.called_ae, "A");
  EXPECT_EQ(options.calling_ae, "ME");
  EXPECT_THAT(options.inputs, ElementsAre("/nonexistent"));
  EXPECT_TRUE(options.given.contains("max-pdu"));
  EXPECT_FALSE(options.given.contains("host"));
}

TEST_F(OptionsTest, ResumeNeedsNoIdAndAcceptsAPrefix) {
  EXPECT_EQ(Good({"--resume", "--output-dir", out_}).resume, kLatest);
  EXPECT_EQ(Good({"--output-dir", out_, "--resume"}).resume, kLatest);
  EXPECT_EQ(Good({"--resume", "latest", "--output-dir", out_}).resume, kLatest);
  EXPECT_EQ(Good({"--resume", "5E0C", "--output-dir", out_}).resume, "5e0c");
  EXPECT_EQ(Good({"--resume=5e0c", "--output-dir", out_}).resume, "5e0c");
  EXPECT_EQ(Good({"--output-dir", out_}, {{"DICOM_SENDER_RESUME", "latest"}}).resume, kLatest);
  EXPECT_THAT(Wrong({"--resume", "--new", "--output-dir", out_}), HasSubstr("--new does not go with --resume"));
}

TEST_F(OptionsTest, SessionsIsASeparateCommand) {
  EXPECT_TRUE(Good({"sessions", "--output-dir", out_}).list_sessions);
  EXPECT_EQ(Good({"sessions", "--output-dir", out_, "--format", "json"}).format, PlanFormat::kJson);
  EXPECT_TRUE(Good({"sessions"}, {{"DICOM_SENDER_OUTPUT_DIR", out_}, {"DICOM_SENDER_HOST", "h"}}).list_sessions)
      << "variables for other runs are ignored";
  EXPECT_THAT(Wrong({"sessions", "-a", "A"}), HasSubstr("--ae-title does not go with 'sessions'"));
  EXPECT_THAT(Wrong({"sessions", "--output-dir", folder_ / "none"}), HasSubstr("--output-dir: '"));
  EXPECT_THAT(Wrong(With({"--format", "json"})),
              HasSubstr("--format is only for --dry-run and 'dicom-sender sessions'"));
}

TEST_F(OptionsTest, OutputFolderIsCreatedOnlyIfAllOptionsAreValid) {
  const std::string fresh = folder_ / "new/deep";
  const WordList good = {"-i", data_, "-a", "A", "-H", "h", "-p", "104", "--output-dir", fresh};
  WordList wrong = good;
  wrong[1] = "/nonexistent";
  Wrong(wrong);
  EXPECT_THAT(Wrong({"--resume", kSession, "--output-dir", fresh}),
              HasSubstr("--output-dir: '" + fresh + "' cannot be used"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new"));
  Good(good);
  EXPECT_TRUE(std::filesystem::is_empty(fresh));
  EXPECT_THAT(Wrong({"-i", data_, "-a", "A", "-H", "h", "-p", "104", "--output-dir", "/proc/self"}),
              HasSubstr("--output-dir: "));
}

TEST_F(OptionsTest, AWrongVariableIsNamed) {
  EXPECT_THAT(Wrong(With({}), {{"DICOM_SENDER_THREADS", "0"}}), HasSubstr("DICOM_SENDER_THREADS: '0' is invalid"));
  EXPECT_THAT(Wrong(With({}), {{"DICOM_SENDER_VERBOSE", "loud"}}), HasSubstr("DICOM_SENDER_VERBOSE: 'loud'"));
  EXPECT_THAT(Wrong({"-a", "A", "-H", "h", "-p", "1"}, {{"DICOM_SENDER_INPUT", "/nonexistent"}}),
              HasSubstr("DICOM_SENDER_INPUT: '/nonexistent'"));
  EXPECT_THAT(Wrong({"-a", "A", "-H", "h", "-p", "1"}, {{"DICOM_SENDER_INPUT", ":"}}),
              HasSubstr("DICOM_SENDER_INPUT: no value"));
}

TEST_F(OptionsTest, TheConfigurationFileIsToml) {
  const std::string file = Config(
      "# the night shift\n"
      "input = [\"" +
      data_ + "\",\n  '" + out_ +
      "']\n"
      "recursive = true\n"
      "ae-title = \"MY PACS\"   # a comment\n"
      "host = 'pacs.example.org'\r\n"
      "port = 104\n"
      "\n"
      "retry-for = \"6h\"\n"
      "verbose = false\n"
      "output-dir = \"" +
      out_ + "\"\n");
  const SenderOptions options = Good({"--config", file});
  EXPECT_THAT(options.inputs, ElementsAre(data_, out_));
  EXPECT_TRUE(options.recursive);
  EXPECT_EQ(options.called_ae, "MY PACS");
  EXPECT_EQ(options.host, "pacs.example.org");
  EXPECT_EQ(options.port, 104);
  EXPECT_EQ(options.retry_for, seconds(21600));
  EXPECT_FALSE(options.verbose);
  EXPECT_EQ(options.given.at("port"), "port in " + file + ", line 7");
}

TEST_F(OptionsTest, PathsInTheConfigurationFileAreNotChanged) {
  for (const std::string name : {"a b", "a,b", "a:b", "a=b", "a'b", "[x]"}) {
    const std::string path = folder_ / name;
    std::filesystem::create_directories(path);
    EXPECT_THAT(Good({"--dry-run", "--output-dir", out_, "--config", Config("input = \"" + path + "\"\n")}).inputs,
                ElementsAre(path));
    EXPECT_THAT(Good({"--dry-run", "--output-dir", out_, "--config",
                      Config("input = [\"" + path + "\", \"" + data_ + "\"]\n")})
                    .inputs,
                ElementsAre(path, data_));
  }
}

TEST_F(OptionsTest, TheConfigurationFileMayUseAllTomlStrings) {
  const std::string file = Config("input = ['" + data_ + "', # quotes may have a comment behind them\n  \"" + out_ +
                                  "\"]\nae-title = \"A#1\"  # and '#' within\nhost = \"pacs\\u002Eexample.org\"\n" +
                                  "port = 104\noutput-dir = \"\"\"\n" + out_ + "\"\"\"\n");
  const SenderOptions options = Good({"--config", file});
  EXPECT_THAT(options.inputs, ElementsAre(data_, out_));
  EXPECT_EQ(options.called_ae, "A#1");
  EXPECT_EQ(options.host, "pacs.example.org");
  EXPECT_EQ(options.output_dir, out_);
}

std::string Repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST_F(OptionsTest, AWrongConfigurationFileIsNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"thread = 2\n", "'thread' in '"},
      {"\nthreads = 0\n", "migration.toml, line 2: '0' is invalid"},
      {"threads = 2\nthread = 2\n", ", line 2. Did you mean threads?"},
      {"\n[sending]\nthreads = 2\n", ", line 2: 'sending' is a table"},
      {"sending.threads = 2\n", ", line 1: 'sending' is a table"},
      {"[[sending]]\nthreads = 2\n", ", line 1: 'sending' is a table"},
      {"config = \"other.toml\"\n", "'config' in '"},
      {"help = true\n", "'help' in '"},
      {"no equals sign\n", ", line 1: Error while parsing key-value pair: expected '=', saw 'e'"},
      {"port = 104\nthreads = 2\nport = 105\n", ", line 3: Error while parsing key-value pair: cannot redefine"},
      {"ae-title = [\"A\", \"B\"]\n", "given 2 times: give it once"},
      {"ae-title = ARCHIVE\n",
       ", line 1: Error while parsing value: could not determine value type; put text in quotes"},
      {"threads = 2\nidle-timeout = 1.5\n",
       ", line 2: idle-timeout: only text, whole numbers, true, false, and arrays"},
      {"retry-for = 12:00:00\n", ", line 1: retry-for: only text"},
      {"input = [[\"a\"]]\n", ", line 1: input: only text"},
      {"\ninput = \"C:\\data\"\n", ", line 2: Error while parsing string: unknown escape sequence '\\d'"},
      {"input = \"/data\n", ", line 1: Error while parsing string"},
      {"input = [\"a\",\n\"b\"\n", "Error while parsing array: encountered end-of-file"},
      {"input = '/data/\xFF'\n", ", line 1: Encountered invalid utf-8 sequence"},
      {"port = 104\na" + Repeated(".a", 100'000) + " = 1\n", ", line 2: more than 1000 dots"},
      {"[a" + Repeated(".a", 400'000) + "]\n", ", line 1: more than 1000 dots"},
      {std::string((1 << 20) + 1, '#'), "is longer than 1048576 bytes"},
  };
  for (const auto& [text, says] : cases) {
    const std::string line = Wrong({"--output-dir", out_, "--config", Config(text)});
    EXPECT_THAT(line, HasSubstr(says)) << text;
    EXPECT_THAT(line, HasSubstr("migration.toml"));
  }
}

TEST_F(OptionsTest, CommandLineThenEnvironmentThenFileThenDefault) {
  const std::string file = Config("threads = 3\nmax-attempts = 3\nidle-timeout = 3\nverbose = true\n");
  const Variables variables = {
      {"DICOM_SENDER_THREADS", "2"}, {"DICOM_SENDER_MAX_ATTEMPTS", "2"}, {"DICOM_SENDER_CONFIG", "/nonexistent"}};
  const SenderOptions options = Good(With({"--config", file, "-t", "1", "--verbose=false"}), variables);
  EXPECT_EQ(options.threads, 1U);
  EXPECT_EQ(options.attempts_max, 2U);
  EXPECT_EQ(options.idle_timeout, seconds(3));
  EXPECT_EQ(options.connect_timeout, seconds(10));
  EXPECT_FALSE(options.verbose);
  EXPECT_EQ(options.given.at("threads"), "--threads");
  EXPECT_EQ(options.given.at("max-attempts"), "DICOM_SENDER_MAX_ATTEMPTS");
  EXPECT_EQ(options.given.at("idle-timeout"), "idle-timeout in " + file + ", line 3");
}

TEST_F(OptionsTest, VersionAndHelpExitAtOnce) {
  for (const char* option : {"-V", "--version"}) {
    const auto parsed = Parse({option, "--threads", "0"});
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().exit_status, 0);
    EXPECT_EQ(parsed.error().out, "dicom-sender 0.1.0\n");
    EXPECT_EQ(parsed.error().err, "");
  }
  for (const char* option : {"-h", "--help"}) {
    const auto parsed = Parse({"--nonsense", option});
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().exit_status, 0);
    EXPECT_EQ(parsed.error().out, Parse({"--help"}).error().out);
    EXPECT_EQ(parsed.error().err, "");
  }
}

TEST_F(OptionsTest, HelpFitsTheTerminalAndListsEveryOption) {
  const std::string help = Parse({"--help"}).error().out;
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U) << line;
    EXPECT_FALSE(line.ends_with(' ')) << line;
  }
  const std::string texts =
      "-i, --input PATH|-r, --recursive|--scan-threads N|-a, --ae-title AE|-H, --host HOST|"
      "-p, --port PORT|-c, --calling-ae AE|-t, --threads N|--dispatch MODE|--max-attempts N|"
      "--retry-for TIME|--max-requests-per-association N|--max-pdu SIZE|--connect-timeout TIME|"
      "--acse-timeout TIME|--dimse-timeout TIME|--idle-timeout TIME|--output-dir DIR|"
      "--log-format FORMAT|--metrics HOST:PORT|-v, --verbose|--dry-run|--echo|--resume [SESSION]|"
      "--retry-failed|--new|--delete-ledger|--keep-ledger|--format FORMAT|--config FILE|-h, --help|"
      "-V, --version|\nInput\n|\nDestination\n|\nSending\n|\nOutput\n|\nSession\n|\nExamples\n|"
      "(default: RUST_SCU)|(default: 1)|(default: 128K)|(default: 1m)|DICOM_SENDER_AE_TITLE";
  for (const std::string& text : Words(texts, '|')) {
    EXPECT_THAT(help, HasSubstr(text));
  }
}

}  // namespace
}  // namespace dicom_sender
