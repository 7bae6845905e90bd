// A ledger in which something was overwritten or lost. It must report the damage and never return wrong data.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>
#include <optional>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/unit/coordinator/ledger/ledger_contract.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

constexpr std::size_t kPageBytes = 4096;
constexpr std::uint32_t kStudies = 3;
constexpr std::uint32_t kInstances = 150;

class DamageTest : public testing::Test {
 protected:
  DamageTest() {
    auto ledger = OpenSqliteLedger(file_.path());
    if (!ledger) throw std::runtime_error(ledger.error());
    Fill(**ledger);
    ledger->reset();
    sound_ = file_.Bytes();
    told_ = Tell().value();
  }

  // Expects that the ledger returns the same data as before the damage or reports the damage. Returns true for the
  // latter.
  bool IsNoticed(const std::string& bytes) {
    file_.WriteBytes(bytes);
    const auto told = Tell();
    EXPECT_TRUE(!told || *told == told_) << "it is read as " << told->substr(0, 100);
    return !told;
  }
  const std::string& sound() const { return sound_; }

 private:
  static void Fill(Ledger& ledger) {
    wire::OpenSession settings;
    settings.set_session("session");
    ledger.Begin();
    const SessionKey session = ledger.CreateSession(settings, At(1)).key;
    for (std::uint32_t study = 0; study < kStudies; ++study) {
      std::vector<File> files;
      for (std::uint32_t i = 0; i < kInstances; ++i) {
        files.push_back({.path = fmt::format("{}/{}", study, i), .sop_instance_uid = fmt::format("{}.{}", study, i)});
      }
      const StudyKey key = ledger.AddStudies(session, Batch(fmt::format("1.2.{}", study), files))[0].study;
      ledger.GrantLease(key, study + 1, "w", "", 1, At(2));
      const InstanceChange stored{
          .study = key, .index = 0, .state = InstanceState::kStored, .status = {}, .reason = {}};
      const InstanceChange failed{
          .study = key, .index = 1, .state = InstanceState::kFailed, .status = {}, .reason = "no"};
      ReadAndChange(ledger, {stored, failed}, At(3));
    }
    ledger.Commit();
  }

  // Returns all data of the ledger; nullopt if it reports damage.
  std::optional<std::string> Tell() const {
    const auto opened = OpenSqliteLedger(file_.path());
    if (!opened) {
      EXPECT_THAT(opened.error(), HasSubstr("ledger '" + file_.path() + "': "));
      return std::nullopt;
    }
    try {
      return Tell(**opened);
    } catch (const LedgerError& error) {
      EXPECT_THAT(error.what(), HasSubstr("ledger '" + file_.path() + "': "));
      return std::nullopt;
    }
  }
  static std::string Tell(Ledger& ledger) {
    const SessionRecord session = ledger.FindSession("session").value_or(SessionRecord{});
    std::string text = Text(session.counts);
    for (const StudyRecord& study : ledger.Studies(session.key, 0, 100)) {
      text += fmt::format("{} {} {} {}\n", study.key, study.uid, study.lease_worker, Text(study.counts));
      for (const auto& pair : ledger.ContextPairs(study.key, 10)) text += pair.sop_class_uid() + "\n";
      text += ledger.LoadPage(study.key, study.lease, 0, 1000).ShortDebugString() + "\n";
    }
    for (const InstanceState state : {InstanceState::kPending, InstanceState::kStored, InstanceState::kFailed}) {
      for (const auto& instance : ledger.Report(session.key, std::array{state}, {}, 1000)) {
        text += fmt::format("{} {} {}\n", instance.path, instance.sop_instance_uid, instance.reason);
      }
    }
    return text;
  }
  static std::string Text(const Counts& counts) {
    return fmt::format("{} {} {} {}\n", counts.total, counts.stored, counts.failed, counts.total_bytes);
  }

  LedgerFile file_;
  std::string sound_;
  std::string told_;
};

// Pages of tables and indexes that are empty in this ledger.
constexpr std::size_t kEmptyPages = 3;

TEST_F(DamageTest, AnOverwrittenPageIsDetected) {
  const std::size_t pages = sound().size() / kPageBytes;
  ASSERT_GT(pages, 25U);
  std::size_t noticed = 0, cases = 0;
  for (std::size_t page = 0; page < pages; ++page) {
    const std::string next = sound().substr((page + 1) % pages * kPageBytes, kPageBytes);
    for (const std::string& content : {std::string(kPageBytes, '\0'), std::string(kPageBytes, '\xA5'), next}) {
      SCOPED_TRACE(fmt::format("page {} of {}, {:02x}...", page, pages, static_cast<unsigned char>(content[0])));
      std::string bytes = sound();
      noticed += IsNoticed(bytes.replace(page * kPageBytes, kPageBytes, content));
      ++cases;
    }
  }
  EXPECT_GE(noticed, cases - 3 * kEmptyPages) << "but for pages that nothing is in";
}

TEST_F(DamageTest, AHalfWrittenPageIsDetectedUnlessOnlyItsFreeSpaceIsAffected) {
  std::size_t noticed = 0;
  for (std::size_t page = 0; page * kPageBytes < sound().size(); ++page) {
    SCOPED_TRACE(page);
    std::string bytes = sound();
    noticed += IsNoticed(bytes.replace(page * kPageBytes, kPageBytes / 2, kPageBytes / 2, '\0'));
  }
  EXPECT_GT(noticed, 10U);
}

TEST_F(DamageTest, ATruncatedFileIsDetected) {
  for (std::size_t size = sound().size() - 1; size > 0; size -= std::min<std::size_t>(size, 3001)) {
    SCOPED_TRACE(size);
    EXPECT_TRUE(IsNoticed(sound().substr(0, size)));
  }
}

}  // namespace
}  // namespace dicom_sender
