// How a command chooses its session, and which settings a session keeps.
#include <gmock/gmock.h>
#include <sqlite3.h>

#include <csignal>
#include <sstream>

#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t kInstances = 30;

class SessionTest : public SenderTest {
 protected:
  void SetUp() override {
    WriteExampleStudies(data(), 3, kInstances / 3);
    StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(30)}}});
  }

  // Interrupts the run with a signal after it has stored some instances, and makes the destination fast afterwards.
  void RunAndInterrupt(int signal_number, const std::vector<std::string>& more = {}) {
    ChildProcess sender(Command(more));
    ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 3; }, kRunTimeout));
    sender.Signal(signal_number);
    result_ = {sender.Wait(kRunTimeout), sender.Output(), sender.Errors()};
    ASSERT_EQ(result_.end, (ProcessEnd{4, 0})) << result_.output << result_.errors;
    ASSERT_LT(Stored(destination_.Log()), kInstances);
    destination_.SetBehaviour({});
  }
  int RunProgram(const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {DICOM_SENDER_PROGRAM};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return RunCommand(command);
  }
  void ExpectEachStored(std::uint64_t times) {
    const auto stored = StoredTimes(EndedLog());
    EXPECT_EQ(stored.size(), kInstances);
    for (const auto& [uid, count] : stored) EXPECT_EQ(count, times) << uid;
  }
};

TEST_F(SessionTest, TheSameCommandContinuesAnUnfinishedSessionAndStartsOverAfterIt) {
  ASSERT_NO_FATAL_FAILURE(RunAndInterrupt(SIGTERM));
  const std::string session = Session();
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, HasSubstr("Continuing session " + session.substr(0, 8) + " of "));
  EXPECT_THAT(result_.output, HasSubstr("--new starts a new one\n"));
  EXPECT_EQ(Session(), session);
  EXPECT_EQ(Number(Summary(), "successful_transfers"), kInstances);
  ExpectEachStored(1);

  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, Not(HasSubstr("Continuing")));
  EXPECT_EQ(Files(".db").size(), 2U) << "ledgers stay";
  ExpectEachStored(2);
}

TEST_F(SessionTest, ADryRunDoesNotHideAnInterruptedSession) {
  ASSERT_NO_FATAL_FAILURE(RunAndInterrupt(SIGTERM));
  const std::string session = Session();
  EXPECT_EQ(Run({"--dry-run"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Files(".db").size(), 2U);
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, HasSubstr("Continuing session " + session.substr(0, 8)));
  ExpectEachStored(1);
}

TEST_F(SessionTest, NewStartsAnotherSession) {
  ASSERT_NO_FATAL_FAILURE(RunAndInterrupt(SIGINT));
  EXPECT_EQ(Run({"--new"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Files(".db").size(), 2U);
  EXPECT_EQ(RunProgram({"--resume", "--output-dir", out()}), 0) << result_.output << result_.errors;
  EXPECT_EQ(RunProgram({"--resume", "--output-dir", out()}), 2) << result_.output;
  EXPECT_THAT(result_.errors, HasSubstr(" is unfinished: the latest, "));
}

TEST_F(SessionTest, AClosedTerminalInterruptsAndThePrintedCommandIsShort) {
  ASSERT_NO_FATAL_FAILURE(RunAndInterrupt(SIGHUP));
  EXPECT_THAT(result_.output, HasSubstr("\n  dicom-sender --resume --output-dir " + out().string() + "\n"));
  EXPECT_EQ(RunProgram({"--resume", "--output-dir", out()}), 0) << result_.output << result_.errors;
  ExpectEachStored(1);
}

TEST_F(SessionTest, ARunningSessionIsNotStartedAgain) {
  ChildProcess first(Command());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 3; }, kRunTimeout));
  EXPECT_EQ(Run(), 2) << result_.output;
  EXPECT_THAT(result_.errors, HasSubstr("session " + Session() + " is running already (its ledger is in use)"));
  EXPECT_EQ(RunProgram({"sessions", "--output-dir", out()}), 0);
  EXPECT_THAT(result_.output, HasSubstr("  yes "));
  EXPECT_EQ(first.Wait(kRunTimeout), (ProcessEnd{0, 0})) << first.Output() << first.Errors();
  ExpectEachStored(1);
}

// Opens the ledger as `sqlite3 -readonly` does.
std::optional<std::int64_t> StoredInLedger(const std::string& ledger) {
  sqlite3* db = nullptr;
  sqlite3_stmt* row = nullptr;
  std::optional<std::int64_t> stored;
  if (sqlite3_open_v2(ledger.c_str(), &db, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
      sqlite3_busy_timeout(db, 10'000) == SQLITE_OK &&
      sqlite3_prepare_v2(db, "SELECT count(*) FROM instances WHERE state = 'stored'", -1, &row, nullptr) ==
          SQLITE_OK &&
      sqlite3_step(row) == SQLITE_ROW) {
    stored = sqlite3_column_int64(row, 0);
  } else {
    ADD_FAILURE() << sqlite3_errmsg(db);
  }
  sqlite3_finalize(row);
  sqlite3_close(db);
  return stored;
}

TEST_F(SessionTest, TheLedgerCanBeReadDuringARun) {
  ChildProcess sender(Command());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 3; }, kRunTimeout));
  const auto ledgers = Files(".db");
  ASSERT_EQ(ledgers.size(), 1U);
  bool seen_before_the_end = false;
  std::optional<ProcessEnd> end;
  while (!(end = sender.Wait(std::chrono::milliseconds(1)))) {
    const auto stored = StoredInLedger(ledgers[0]);
    seen_before_the_end |= stored && *stored > 0 && *stored < std::int64_t{kInstances};
  }
  EXPECT_EQ(end, (ProcessEnd{0, 0})) << sender.Output() << sender.Errors();
  EXPECT_TRUE(seen_before_the_end);
  EXPECT_EQ(StoredInLedger(ledgers[0]), std::int64_t{kInstances});
}

TEST_F(SessionTest, AResumeKeepsTheSettings) {
  const auto many = {"-t", "3", "--log-format", "json", "-v", "--max-pdu", "16384", "--delete-ledger"};
  ASSERT_NO_FATAL_FAILURE(RunAndInterrupt(SIGTERM, {many.begin(), many.end()}));
  const std::string log_before = ReadFile(Files(".log").at(0));
  EXPECT_EQ(RunProgram({"--resume", "--output-dir", out()}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "threads_used"), 3U);
  EXPECT_THAT(result_.output, HasSubstr("stored  " + data().string())) << "as -v does";
  std::istringstream lines(ReadFile(Files(".log").at(0)).substr(log_before.size()));
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(line.front(), '{') << line;
  EXPECT_TRUE(Files(".db").empty()) << "as --delete-ledger does";
}

TEST_F(SessionTest, ANewValueOfASettingTakesEffect) {
  ASSERT_NO_FATAL_FAILURE(RunAndInterrupt(SIGTERM, {"-t", "3"}));
  EXPECT_EQ(RunProgram({"--resume", "--output-dir", out(), "-t", "2"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "threads_used"), 2U);
}

TEST_F(SessionTest, TheListHasEachSessionWithItsCounts) {
  std::filesystem::create_directories(out());
  EXPECT_EQ(RunProgram({"sessions", "--output-dir", out()}), 0) << result_.errors;
  EXPECT_EQ(result_.output, "No session in " + out().string() + "\n");
  ASSERT_NO_FATAL_FAILURE(RunAndInterrupt(SIGTERM));
  const std::string session = Session();
  EXPECT_EQ(RunProgram({"sessions", "--output-dir", out(), "--format", "json"}), 0) << result_.errors;
  rapidjson::Document list;
  list.Parse(result_.output.c_str());
  ASSERT_FALSE(list.HasParseError()) << result_.output;
  EXPECT_EQ(list["session"].GetString(), session);
  EXPECT_STREQ(list["state"].GetString(), "suspended");
  EXPECT_FALSE(list["running"].GetBool());
  EXPECT_EQ(Number(list, "total"), kInstances);
  EXPECT_EQ(Number(list, "stored"), Stored(EndedLog()));
  EXPECT_EQ(Number(list, "pending"), kInstances - Stored(EndedLog()));
  EXPECT_EQ(RunProgram({"sessions", "--output-dir", out()}), 0);
  EXPECT_THAT(result_.output, HasSubstr(session + "  suspended  no "));
}

TEST_F(SessionTest, ADamagedLedgerFileDoesNotStopANewSession) {
  WriteFile(out() / "dicom_sender_5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a.db", std::string(5000, 'x'));
  destination_.SetBehaviour({});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, HasSubstr("Warning: ledger "));
}

TEST_F(SessionTest, WaitsForHoursForADestinationThatHasAnswered) {
  ChildProcess sender(Command());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 3; }, kRunTimeout));
  destination_.Stop();
  EXPECT_TRUE(sender.WaitForText("giving up in 6 h", kRunTimeout)) << sender.Output();
  destination_.SetBehaviour({});
  ASSERT_TRUE(destination_.Start());
  EXPECT_EQ(sender.Wait(kRunTimeout), (ProcessEnd{0, 0})) << sender.Output() << sender.Errors();
}

TEST_F(SessionTest, DoesNotWaitLongForADestinationThatNeverAnswered) {
  destination_.Stop();
  ChildProcess sender(Command());
  EXPECT_TRUE(sender.WaitForText("giving up in 60 s", kRunTimeout)) << sender.Output();
}

TEST_F(SessionTest, SilenceIsReportedBeforeTheTimeOutExpires) {
  destination_.SetBehaviour({.stall_association = true});
  ChildProcess sender(Command());
  EXPECT_TRUE(sender.WaitForText("has not answered for", std::chrono::seconds(20))) << sender.Output();
  EXPECT_THAT(sender.Output(), HasSubstr("; trying again for 60 s before giving up"));
}

}  // namespace
}  // namespace dicom_sender
