// Invalid usage: one line with the problem and the reason, exit status 2, no network traffic, no files left behind.
// Also tests the sources of options.
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

class UsageTest : public SenderTest {
 protected:
  void SetUp() override {
    WriteExampleStudies(data(), 1, 2);
    StartDestination();
  }

  std::vector<std::string> OutputNames() const {
    std::vector<std::string> names;
    for (const auto& file : Files("")) names.push_back(file.filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  // The error line must contain `words`.
  void ExpectUsageError(const std::vector<std::string>& command, const std::vector<std::string>& words,
                        const std::vector<std::string>& environment = {}) {
    const auto names_before = OutputNames();
    EXPECT_EQ(RunCommand(command, environment), 2) << result_.output << result_.errors;
    EXPECT_EQ(std::count(result_.errors.begin(), result_.errors.end(), '\n'), 1) << result_.errors;
    EXPECT_TRUE(result_.errors.starts_with("dicom-sender: ")) << result_.errors;
    EXPECT_TRUE(result_.errors.ends_with("\n")) << result_.errors;
    for (const std::string& word : words) EXPECT_NE(result_.errors.find(word), std::string::npos) << result_.errors;
    EXPECT_TRUE(destination_.Log().associations.empty()) << "an association was opened";
    EXPECT_EQ(OutputNames(), names_before) << "files are left behind";
  }

  // Returns the arguments of a valid run with one option replaced or left out.
  std::vector<std::string> With(const std::string& option, const std::string& value) const {
    auto command = Command();
    *(std::find(command.begin(), command.end(), option) + 1) = value;
    return command;
  }
  std::vector<std::string> Without(const std::string& option) const {
    auto command = Command();
    const auto at = std::find(command.begin(), command.end(), option);
    command.erase(at, at + 2);
    return command;
  }

  // Returns the calling AE title of the only association of this run.
  std::string CallingAe(const std::vector<std::string>& command, const std::vector<std::string>& environment = {}) {
    const std::size_t before = destination_.Log().associations.size();
    EXPECT_EQ(RunCommand(command, environment), 0) << result_.output << result_.errors;
    const auto log = destination_.Log();
    EXPECT_EQ(log.associations.size(), before + 1);
    return log.associations.size() == before + 1 ? log.associations.back().calling_ae : "";
  }
};

TEST_F(UsageTest, UnknownOptionsAreNamed) {
  ExpectUsageError(Command({"--frobnicate"}), {"--frobnicate", "--help"});
  ExpectUsageError(Command({"--thread", "2"}), {"Did you mean --threads?"});
}

TEST_F(UsageTest, MissingOptionsAreNamed) {
  ExpectUsageError({DICOM_SENDER_PROGRAM}, {"--input", "--ae-title", "--host", "--port", "--help"});
  ExpectUsageError(Without("-i"), {"--input"});
  ExpectUsageError(Without("-a"), {"--ae-title"});
  ExpectUsageError(Without("-H"), {"--host"});
  ExpectUsageError(Without("-p"), {"--port"});
  ExpectUsageError({DICOM_SENDER_PROGRAM, "--echo", "-a", "TEST_SCP"}, {"--host", "--port"});
  ExpectUsageError(Command({"--config"}), {"--config", "value"});
}

TEST_F(UsageTest, PortsOutOfRangeAreRefused) {
  for (const std::string port : {"0", "70000", "-1", "104x", ""}) {
    SCOPED_TRACE(port);
    ExpectUsageError(With("-p", port), {"--port", "1", "65535"});
  }
}

TEST_F(UsageTest, InvalidAeTitlesAreRefused) {
  ExpectUsageError(With("-a", "SEVENTEEN_LETTERS"), {"--ae-title", "SEVENTEEN_LETTERS", "16"});
  ExpectUsageError(With("-a", ""), {"--ae-title", "empty"});
  ExpectUsageError(With("-a", "   "), {"--ae-title", "empty"});
  ExpectUsageError(With("-a", "A\\B"), {"--ae-title", "backslash"});
  ExpectUsageError(Command({"-c", "SEVENTEEN_LETTERS"}), {"--calling-ae", "16"});
  ExpectUsageError(Command({"-c", ""}), {"--calling-ae", "empty"});
}

TEST_F(UsageTest, NumbersOutOfRangeAreRefused) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> wrong = {
      {"--threads", {"0", "-1", "257", "two", "1.5", ""}},
      {"--scan-threads", {"0", "65"}},
      {"--max-pdu", {"0", "4095", "131073", "129K", "16T"}},
      {"--connect-timeout", {"0", "3601", "-5", "soon"}},
      {"--acse-timeout", {"0", "3601", "1h1s", "1w"}},
      {"--dimse-timeout", {"0", "3601"}},
      {"--idle-timeout", {"0", "3601"}},
      {"--max-attempts", {"0", "101"}},
      {"--retry-for", {"31d", "1w", "-1", ""}},
      {"--max-requests-per-association", {"-1", "many"}},
      {"--log-format", {"xml"}},
      {"--dispatch", {"never"}},
      {"--metrics", {"9464", "127.0.0.1:0", "127.0.0.1:70000", ":9464"}},
  };
  for (const auto& [option, values] : wrong) {
    for (const std::string& value : values) {
      SCOPED_TRACE(option + " '" + value + "'");
      ExpectUsageError(Command({option + "=" + value}), {option, "give"});
    }
  }
}

TEST_F(UsageTest, AMetricsAddressInUseIsNamed) {
  const std::string address = "127.0.0.1:" + std::to_string(port_);
  ExpectUsageError(Command({"--metrics", address}), {address});
}

TEST_F(UsageTest, MissingInputsAreNamed) {
  const std::string missing = folder_ / "missing";
  ExpectUsageError(With("-i", missing), {"--input", missing, "does not exist"});
  ExpectUsageError(With("-i", ""), {"--input", "empty"});
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ExpectUsageError(With("-i", fifo), {"--input", fifo});
  ExpectUsageError(Command({"-i", missing}), {missing});  // the other input exists
}

TEST_F(UsageTest, PathsMayBePositionalArguments) {
  std::vector<std::string> command = Without("-i");
  command.insert(command.begin() + 1, {data() / "missing", "-r"});
  ExpectUsageError(command, {"missing", "does not exist"});
  command[1] = data();
  EXPECT_EQ(RunCommand(command), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 2U);
}

TEST_F(UsageTest, EchoNamesUnusedOptions) {
  const std::vector<std::string> echo = {
      DICOM_SENDER_PROGRAM,  "--echo",          "-a", "TEST_SCP", "-H", "127.0.0.1", "-p",
      std::to_string(port_), "--dimse-timeout", "5s"};
  EXPECT_EQ(RunCommand(echo, {"DICOM_SENDER_THREADS=4"}), 0) << result_.errors;
  EXPECT_EQ((result_.output + result_.errors).find("does not use"), std::string::npos) << result_.output;
  std::vector<std::string> more = echo;
  more.insert(more.end(), {"-t", "4", data()});
  EXPECT_EQ(RunCommand(more), 0) << result_.errors;
  EXPECT_NE((result_.output + result_.errors).find("it does not use --input, --threads\n"), std::string::npos)
      << result_.output << result_.errors;
}

TEST_F(UsageTest, InputsMustContainDicomFiles) {
  const auto empty = folder_ / "empty";
  std::filesystem::create_directories(empty);
  ExpectUsageError(With("-i", empty), {"DICOM", empty});
  const auto text = folder_ / "text";
  WriteFile(text / "a.dcm", "not DICOM at all, only a text that is long enough to be looked at");
  WriteFile(text / "b.dcm", "");
  ExpectUsageError(With("-i", text), {"DICOM"});
  ExpectUsageError(With("-i", text / "a.dcm"), {"DICOM"});
  // All files are in subfolders, and -r is missing.
  ExpectUsageError(CommandFor({"-i", data()}), {"DICOM"});
  ExpectUsageError({DICOM_SENDER_PROGRAM, "--dry-run", "-i", empty, "--output-dir", out()}, {"DICOM"});
}

TEST_F(UsageTest, OutputFoldersMustBeWritable) {
  const auto file = folder_ / "file";
  WriteFile(file, "in the way");
  ExpectUsageError(With("--output-dir", file), {"--output-dir", file, "folder"});
  ExpectUsageError(With("--output-dir", file / "below"), {"--output-dir", file});
  ExpectUsageError(With("--output-dir", ""), {"--output-dir", "empty"});
  EXPECT_EQ(ReadFile(file), "in the way");
}

TEST_F(UsageTest, OutputFoldersWithoutPermissionAreNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const auto folder = folder_ / "locked";
  std::filesystem::create_directories(folder);
  std::filesystem::permissions(folder, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  ExpectUsageError(With("--output-dir", folder), {"--output-dir", folder, "denied"});
}

TEST_F(UsageTest, InvalidConfigFilesAreRefused) {
  const std::string missing = folder_ / "missing.toml";
  ExpectUsageError(Command({"--config", missing}), {"--config", missing});
  const std::string file = folder_ / "options.toml";
  WriteFile(file, "threads = 2\ncolor = \"red\"\n");
  ExpectUsageError(Command({"--config", file}), {"color", file});
  WriteFile(file, "max-pdu = 1\n");
  ExpectUsageError(Command({"--config", file}), {"max-pdu in " + file + ", line 1", "4K"});
}

TEST_F(UsageTest, EnvironmentVariablesAreChecked) {
  ExpectUsageError(Command(), {"DICOM_SENDER_THREADS", "256"}, {"DICOM_SENDER_THREADS=1000"});
}

TEST_F(UsageTest, ConflictingOptionsAreNamed) {
  ExpectUsageError(Command({"--echo", "--dry-run"}), {"--echo", "--dry-run"});
  ExpectUsageError(Command({"--retry-failed"}), {"--retry-failed", "--resume"});
}

TEST_F(UsageTest, AnUnknownSessionIsNotResumed) {
  const std::string session = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";
  std::filesystem::create_directories(out());
  ExpectUsageError(ResumeCommand(session), {session, "--output-dir"});
  ExpectUsageError(ResumeCommand("last"), {"--resume", "last"});
  std::filesystem::remove_all(out());
  ExpectUsageError(ResumeCommand(session), {out()});
  EXPECT_FALSE(std::filesystem::exists(out()));
}

TEST_F(UsageTest, ADamagedLedgerIsNotResumed) {
  const std::string session = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";
  const auto ledger = out() / ("dicom_sender_" + session + ".db");
  WriteFile(ledger, std::string(5000, 'x'));
  ExpectUsageError(ResumeCommand(session), {ledger});
  EXPECT_EQ(ReadFile(ledger), std::string(5000, 'x'));
}

TEST_F(UsageTest, ASessionIsNotResumedToAnotherDestination) {
  destination_.Stop();
  ASSERT_EQ(Run({"--retry-for", "0"}), 3) << result_.output << result_.errors;
  const std::string session = Session();
  ASSERT_TRUE(destination_.Start());
  ExpectUsageError(ResumeCommand(session, {"-a", "ELSEWHERE"}), {"--ae-title", session});
  ExpectUsageError(ResumeCommand(session, {"-p", "104"}), {"--port", session});
  ExpectUsageError(ResumeCommand(session, {"-H", "192.0.2.7"}), {"--host", session});
  ExpectUsageError(ResumeCommand(session, {"-c", "OTHER_SCU"}), {"--calling-ae", session});
  EXPECT_EQ(Files(".db").size(), 1U) << "the ledger stays";
  // Repeating the same values is not a conflict.
  EXPECT_EQ(Resume({"-a", "TEST_SCP", "-p", std::to_string(port_), "-H", "127.0.0.1"}), 0) << result_.errors;
}

TEST_F(UsageTest, HelpAndVersionNeedNoOtherOptions) {
  for (const char* option : {"--help", "-h"}) {
    EXPECT_EQ(RunCommand({DICOM_SENDER_PROGRAM, option, "-p", "0"}), 0);
    EXPECT_EQ(result_.errors, "");
    for (const std::string word : {"--input", "--recursive", "--calling-ae", "--ae-title", "--host", "--port",
                                   "--threads", "--verbose", "--resume", "RUST_SCU"}) {
      EXPECT_NE(result_.output.find(word), std::string::npos) << word;
    }
  }
  for (const char* option : {"--version", "-V"}) {
    EXPECT_EQ(RunCommand({DICOM_SENDER_PROGRAM, option}), 0);
    EXPECT_TRUE(result_.output.starts_with("dicom-sender ")) << result_.output;
    EXPECT_EQ(result_.errors, "");
  }
  EXPECT_TRUE(destination_.Log().associations.empty());
}

TEST_F(UsageTest, OptionsFollowTheirOrderOfPrecedence) {
  EXPECT_EQ(CallingAe(Command()), "RUST_SCU");
  const std::string file = folder_ / "options.toml";
  WriteFile(file, "calling-ae = \"FILE_SCU\"\n");
  EXPECT_EQ(CallingAe(Command({"--config", file})), "FILE_SCU");
  EXPECT_EQ(CallingAe(Command({"--config", file}), {"DICOM_SENDER_CALLING_AE=ENV_SCU"}), "ENV_SCU");
  EXPECT_EQ(CallingAe(Command({"--config", file, "-c", "LINE_SCU"}), {"DICOM_SENDER_CALLING_AE=ENV_SCU"}),
            "LINE_SCU");
  EXPECT_EQ(CallingAe(Command(), {"DICOM_SENDER_CONFIG=" + file}), "FILE_SCU");
}

TEST_F(UsageTest, ARunCanBeConfiguredByTheEnvironmentAlone) {
  EXPECT_EQ(CallingAe({DICOM_SENDER_PROGRAM},
                      {"DICOM_SENDER_INPUT=" + data().string(), "DICOM_SENDER_RECURSIVE=true",
                       "DICOM_SENDER_AE_TITLE=TEST_SCP", "DICOM_SENDER_HOST=127.0.0.1",
                       "DICOM_SENDER_PORT=" + std::to_string(port_), "DICOM_SENDER_OUTPUT_DIR=" + out().string()}),
            "RUST_SCU");
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 2U);
}

}  // namespace
}  // namespace dicom_sender
