// What a user sees if the ledger cannot be written or read, and how the user can continue afterwards.
#include "tests/e2e/sender_fixture.h"
#include "tests/support/file_size_limit.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kInstances = 120;

class LedgerTroubleTest : public SenderTest {
 protected:
  void SetUp() override { WriteExampleStudies(data(), 3, kInstances / 3); }

  bool ErrorsHave(const std::string& text) const { return result_.errors.find(text) != std::string::npos; }
  void ExpectAllArrivesByResume() {
    EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
    EXPECT_EQ(StoredTimes(EndedLog()).size(), kInstances);
    EXPECT_EQ(Number(Summary(), "successful_transfers"), kInstances);
  }
};

TEST_F(LedgerTroubleTest, AFullDiskEndsTheRunAndResumeContinues) {
  StartDestination();
  {
    const FileSizeLimit limit(160'000);
    EXPECT_EQ(Run(), 74) << result_.output << result_.errors;
  }
  EXPECT_TRUE(ErrorsHave("disk I/O error (File too large); check the disk and start again")) << result_.errors;
  EXPECT_LT(Stored(EndedLog()), kInstances) << "the write must fail before everything is sent";
  ExpectAllArrivesByResume();
}

TEST_F(LedgerTroubleTest, AFullDiskAtStartupKeepsAnExistingLedgerOnly) {
  StartDestination();
  {
    const FileSizeLimit limit(20'000);
    EXPECT_EQ(Run(), 2) << result_.output << result_.errors;
    EXPECT_TRUE(ErrorsHave("start again; nothing was sent\n")) << result_.errors;
    EXPECT_TRUE(Files("").empty()) << "nothing is left behind";
  }
  destination_.Stop();
  ASSERT_EQ(Run({"--retry-for", "0"}), 3) << result_.output << result_.errors;
  ASSERT_TRUE(destination_.Start());
  {
    const FileSizeLimit limit(20'000);
    EXPECT_EQ(Resume(), 74) << result_.output << result_.errors;
  }
  ExpectAllArrivesByResume();
}

// Without the watch on the file, the run would continue as long as it has something to send, and lose all of that.
TEST_F(LedgerTroubleTest, ARenamedLedgerEndsTheRunAndResumeContinuesWhenItReturns) {
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(200)}}});
  ChildProcess sender(Command());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 2; }, kRunTimeout));
  const auto ledger = Files(".db").at(0);
  const auto elsewhere = folder_ / "elsewhere.db", log_elsewhere = folder_ / "elsewhere.db-wal";
  std::filesystem::rename(ledger, elsewhere);
  ASSERT_TRUE(sender.Wait(std::chrono::seconds(10)));
  EXPECT_EQ(sender.Wait(kRunTimeout), (ProcessEnd{74, 0})) << sender.Errors();
  EXPECT_NE(sender.Errors().find("ledger '" + ledger.string() + "': it was removed or renamed while in use; put it"),
            std::string::npos)
      << sender.Errors();
  EXPECT_NE(sender.Output().find("--resume " + Session()), std::string::npos)
      << "the output must contain the command to resume";
  EXPECT_LT(Stored(EndedLog()), kInstances);
  std::filesystem::rename(elsewhere, ledger);
  destination_.SetBehaviour({});
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), kInstances);
}

TEST_F(LedgerTroubleTest, AFailedSummaryIsWrittenByResume) {
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(20)}}});
  ChildProcess sender(Command());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 2; }, kRunTimeout));
  const auto in_the_way = out() / ("dicom_sender_summary_" + Session() + ".json");
  std::filesystem::create_directories(in_the_way / "folder");
  EXPECT_EQ(sender.Wait(kRunTimeout), (ProcessEnd{74, 0})) << sender.Errors();
  EXPECT_NE(sender.Errors().find("'" + in_the_way.string() + "' cannot be written"), std::string::npos)
      << sender.Errors();
  EXPECT_NE(sender.Output().find("dicom-sender --resume " + Session() + " --output-dir "), std::string::npos)
      << "by its id, because the session itself is complete";
  std::filesystem::remove_all(in_the_way);
  ExpectAllArrivesByResume();
}

TEST_F(LedgerTroubleTest, ADamagedLedgerIsRefusedAndNotChanged) {
  StartDestination();
  destination_.Stop();
  EXPECT_EQ(Run({"--retry-for", "1"}), 3) << result_.output << result_.errors;
  ASSERT_EQ(Files(".db").size(), 1U);
  const auto ledger = Files(".db")[0];
  const std::string sound = ReadFile(ledger);
  std::string damaged = sound;
  damaged.replace(damaged.size() / 2, 4096, 4096, '\xA5');
  ASSERT_TRUE(destination_.Start());

  WriteFile(ledger, damaged);
  EXPECT_EQ(Resume(), 2) << result_.output << result_.errors;
  EXPECT_TRUE(ErrorsHave("ledger '" + ledger.string() + "': it is damaged; ")) << result_.errors;
  EXPECT_EQ(ReadFile(ledger), damaged);
  EXPECT_EQ(destination_.Log().associations.size(), 0U);

  WriteFile(ledger, sound);
  ExpectAllArrivesByResume();
}

}  // namespace
}  // namespace dicom_sender
