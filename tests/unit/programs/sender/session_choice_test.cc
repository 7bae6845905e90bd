#include "programs/sender/session_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "programs/sender/program_settings.h"
#include "programs/sender/session_files.h"
#include "programs/sender/session_folder.h"
#include "session/session_settings.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr const char* kFirst = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";
constexpr const char* kSecond = "5e0c9a1e-1111-4f0e-9a59-0f6e4c1d2b3a";
constexpr const char* kThird = "77777777-8b1c-4f0e-9a59-0f6e4c1d2b3a";

std::string BytesOf(const std::string& file) {
  std::ostringstream bytes;
  bytes << std::ifstream(file, std::ios::binary).rdbuf();
  return bytes.str();
}

class SessionChoiceTest : public testing::Test {
 protected:
  SenderOptions Options() const {
    SenderOptions options;
    options.inputs = {"/data/a", "/data/b"};
    options.called_ae = "ARCHIVE";
    options.calling_ae = "US";
    options.host = "pacs";
    options.port = 104;
    options.output_dir = folder_.path();
    return options;
  }
  SenderOptions Resume(const std::string& id) const {
    SenderOptions options;
    options.output_dir = folder_.path();
    options.resume = id;
    return options;
  }
  std::string File(const std::string& session) const { return FilesOf(folder_.path(), session).ledger; }

  // A session that another process has open as long as the object exists.
  std::unique_ptr<Ledger> OpenLedger(const std::string& session, const SenderOptions& options) {
    auto ledger = OpenSqliteLedger(File(session));
    EXPECT_TRUE(ledger);
    wire::OpenSession settings = NewSessionSettings(options, session);
    *settings.mutable_program() = ToProgramSettings(options);
    (*ledger)->Begin();
    (*ledger)->CreateSession(settings, WallTime{});
    (*ledger)->Commit();
    return *std::move(ledger);
  }
  // `age`: the age of the file in hours.
  void Leave(const std::string& session, wire::SessionState state, const SenderOptions& options, int age = 1) {
    {
      auto ledger = OpenLedger(session, options);
      ledger->Begin();
      ledger->SetSessionState(1, state, "", WallTime{});
      ledger->Commit();
    }
    std::filesystem::last_write_time(File(session),
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(age));
  }
  std::string Chosen(const SenderOptions& options) {
    const auto chosen = ChooseSession(options);
    EXPECT_TRUE(chosen) << chosen.error().sentence;
    return chosen ? chosen->options.resume.value_or("new") : "";
  }
  std::string Refusal(const SenderOptions& options) {
    const auto chosen = ChooseSession(options);
    EXPECT_FALSE(chosen);
    if (chosen) return {};
    EXPECT_EQ(chosen.error().exit_status, kExitUsage);
    return chosen.error().sentence;
  }

  TemporaryFolder folder_;
};

TEST_F(SessionChoiceTest, TheSameCommandContinuesAnUnfinishedSession) {
  for (const auto state : {wire::SESSION_SUSPENDED, wire::SESSION_UNREACHABLE, wire::SESSION_REFUSED,
                           wire::SESSION_SCANNING, wire::SESSION_SENDING}) {
    Leave(kFirst, state, Options());
    const auto chosen = ChooseSession(Options());
    ASSERT_TRUE(chosen);
    EXPECT_EQ(chosen->options.resume, kFirst) << wire::SessionState_Name(state);
    EXPECT_THAT(chosen->notice, StartsWith("Continuing session 5e0c9a1e of "));
    EXPECT_THAT(chosen->notice, HasSubstr("--new"));
    std::filesystem::remove(File(kFirst));
  }
}

TEST_F(SessionChoiceTest, AfterAFinishedSessionItStartsOver) {
  Leave(kFirst, wire::SESSION_COMPLETE, Options());
  EXPECT_EQ(Chosen(Options()), "new");
  Leave(kSecond, wire::SESSION_CANCELLED, Options());
  EXPECT_EQ(Chosen(Options()), "new");
  Leave(kThird, wire::SESSION_SUSPENDED, Options(), /*age=*/9);
  EXPECT_EQ(Chosen(Options()), "new") << "the latest counts";
}

TEST_F(SessionChoiceTest, OtherInputOrDestinationIsAnotherSession) {
  Leave(kFirst, wire::SESSION_SUSPENDED, Options());
  const auto with = [this](auto change) {
    SenderOptions options = Options();
    change(options);
    return Chosen(options);
  };
  EXPECT_EQ(with([](auto& o) { o.called_ae = "OTHER"; }), "new");
  EXPECT_EQ(with([](auto& o) { o.calling_ae = "OTHER"; }), "new");
  EXPECT_EQ(with([](auto& o) { o.host = "other"; }), "new");
  EXPECT_EQ(with([](auto& o) { o.port = 105; }), "new");
  EXPECT_EQ(with([](auto& o) { o.recursive = true; }), "new");
  EXPECT_EQ(with([](auto& o) { o.inputs.pop_back(); }), "new");
  EXPECT_EQ(with([](auto& o) { o.start_new = true; }), "new");
  EXPECT_EQ(with([](auto& o) { std::swap(o.inputs[0], o.inputs[1]); }), kFirst);
  EXPECT_EQ(with([](auto& o) { o.threads = 9; }), kFirst);
}

TEST_F(SessionChoiceTest, ARunningSessionIsNotChosen) {
  const auto ledger = OpenLedger(kFirst, Options());
  EXPECT_THAT(Refusal(Options()), HasSubstr("is running already (its ledger is in use)"));
  EXPECT_THAT(Refusal(Resume(kLatest)), HasSubstr("is running already (its ledger is in use)"));
  EXPECT_THAT(Refusal(Resume("5e")), HasSubstr("is running already (its ledger is in use)"));
  SenderOptions other = Options();
  other.host = "other";
  EXPECT_EQ(Chosen(other), "new");
  other = Options();
  other.start_new = true;
  EXPECT_EQ(Chosen(other), "new");
}

TEST_F(SessionChoiceTest, DamagedAndForeignFilesDoNotStopANewSession) {
  std::ofstream(File(kFirst)) << std::string(5000, 'x');
  std::ofstream(File(kSecond)) << "";
  std::ofstream(folder_.path() / "dicom_sender_notes.db") << "no ledger";
  std::ofstream(folder_.path() / "other.db") << "no ledger";
  const auto chosen = ChooseSession(Options());
  ASSERT_TRUE(chosen);
  EXPECT_FALSE(chosen->options.resume);
  EXPECT_THAT(chosen->warnings, SizeIs(1));
}

TEST_F(SessionChoiceTest, SkippedLedgersAreReported) {
  constexpr int kMoreThanAreLookedAt = 201;
  for (int i = 0; i < kMoreThanAreLookedAt; ++i) {
    std::ofstream(File("5e0c9a1e-8b1c-4f0e-9a59-" + std::to_string(100'000'000'000 + i))) << "not a ledger";
  }
  const auto chosen = ChooseSession(Options());
  ASSERT_TRUE(chosen);
  EXPECT_THAT(chosen->warnings, testing::Contains(HasSubstr("of 201 sessions in the output folder were checked")));
}

TEST_F(SessionChoiceTest, ResumeChoosesTheLatestUnfinishedSession) {
  EXPECT_THAT(Refusal(Resume(kLatest)), HasSubstr("no session to continue"));
  Leave(kFirst, wire::SESSION_COMPLETE, Options(), 1);
  EXPECT_THAT(Refusal(Resume(kLatest)),
              HasSubstr("no session is unfinished: the latest, 5e0c9a1e, is complete; run"));
  SenderOptions other = Options();
  other.host = "other";
  Leave(kSecond, wire::SESSION_SUSPENDED, other, 3);
  Leave(kThird, wire::SESSION_SUSPENDED, Options(), 2);
  EXPECT_EQ(Chosen(Resume(kLatest)), kThird);
}

TEST_F(SessionChoiceTest, AnIdMayBeShort) {
  Leave(kFirst, wire::SESSION_SUSPENDED, Options());
  Leave(kSecond, wire::SESSION_COMPLETE, Options());
  EXPECT_EQ(Chosen(Resume("5e0c9a1e-8")), kFirst);
  EXPECT_EQ(Chosen(Resume(kSecond)), kSecond);
  const std::string refusal = Refusal(Resume("5e0c"));
  EXPECT_THAT(refusal, HasSubstr("2 sessions begin with 5e0c"));
  EXPECT_THAT(refusal, HasSubstr(kFirst));
  EXPECT_THAT(refusal, HasSubstr(kSecond));
  EXPECT_THAT(Refusal(Resume("6")), HasSubstr("session '6' has no ledger in"));
}

TEST_F(SessionChoiceTest, EverySettingIsKeptUnlessOverridden) {
  SenderOptions before = Options();
  before.threads = 7;
  before.scan_threads = 3;
  before.log_format = LogFormat::kJson;
  before.metrics = "127.0.0.1:9464";
  before.verbose = true;
  before.delete_ledger = true;
  Leave(kFirst, wire::SESSION_SUSPENDED, before);
  SenderOptions resume = Resume(kLatest);
  resume.scan_threads = 5;
  resume.given["scan-threads"] = "--scan-threads";
  const auto chosen = ChooseSession(resume);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->options.threads, 7U);
  EXPECT_EQ(chosen->options.scan_threads, 5U);
  EXPECT_EQ(chosen->options.log_format, LogFormat::kJson);
  EXPECT_EQ(chosen->options.metrics, "127.0.0.1:9464");
  EXPECT_TRUE(chosen->options.verbose && chosen->options.delete_ledger);
}

TEST_F(SessionChoiceTest, ListingDoesNotChangeTheFolder) {
  Leave(kFirst, wire::SESSION_SUSPENDED, Options());
  const std::string before = BytesOf(File(kFirst));
  Chosen(Options());
  Chosen(Resume(kLatest));
  EXPECT_EQ(BytesOf(File(kFirst)), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(SessionChoiceTest, TheIdIsAsShortAsPossible) {
  Leave(kFirst, wire::SESSION_SUSPENDED, Options());
  EXPECT_EQ(IdToResume(kFirst, folder_.path()), "");
  EXPECT_EQ(IdToResume(kSecond, folder_.path()), kSecond) << "its ledger was removed";
  const auto running = OpenLedger(kThird, Options());
  EXPECT_EQ(IdToResume(kFirst, folder_.path()), "5e0c9a1e") << "--resume alone would find the one that runs";
  Leave(kSecond, wire::SESSION_COMPLETE, Options());
  EXPECT_EQ(IdToResume(kFirst, folder_.path()), "5e0c9a1e-8");
}

}  // namespace
}  // namespace dicom_sender
