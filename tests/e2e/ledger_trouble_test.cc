// What a user sees when the ledger cannot be written or read, and that he can go on afterwards.
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

TEST_F(LedgerTroubleTest, AFullDiskEndsTheRunAndResumeGoesOn) {
  StartDestination();
  {
    const FileSizeLimit limit(250'000);
    EXPECT_EQ(Run(), 70) << result_.output << result_.errors;
  }
  EXPECT_TRUE(ErrorsHave("disk I/O error (File too large); see to the disk and start again")) << result_.errors;
  EXPECT_LT(Stored(EndedLog()), kInstances) << "it has failed while it was sending, or before";
  ExpectAllArrivesByResume();
}

TEST_F(LedgerTroubleTest, ADamagedLedgerIsRefusedAndLeftAsItIs) {
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
  EXPECT_TRUE(ErrorsHave("ledger " + ledger.string() + " cannot be used: it is damaged; ")) << result_.errors;
  EXPECT_EQ(ReadFile(ledger), damaged);
  EXPECT_EQ(destination_.Log().associations.size(), 0U);

  WriteFile(ledger, sound);
  ExpectAllArrivesByResume();
}

}  // namespace
}  // namespace dicom_sender
