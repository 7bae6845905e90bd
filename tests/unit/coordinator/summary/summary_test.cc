// The report files, written from a real ledger and read as a script reads them.
#include <gmock/gmock.h>
#include <rapidjson/document.h>

#include <fstream>
#include <sstream>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "coordinator/summary/summary_document.h"
#include "coordinator/summary/summary_writer.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/ledger/ledger_contract.h"

namespace dicom_sender {
namespace {

using enum InstanceState;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kSession = "11111111-2222-4333-8444-555555555555";
constexpr std::int64_t kStart = 1'725'982'215'123;  // 2024-09-10T15:30:15.123Z

WallTime After(std::int64_t milliseconds) { return WallTime(std::chrono::milliseconds(kStart + milliseconds)); }

std::string ReadFile(const std::string& path) {
  std::stringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

class SummaryTest : public testing::Test {
 protected:
  SummaryTest() {
    auto ledger = OpenSqliteLedger((folder_ / "ledger.db").string());
    EXPECT_TRUE(ledger) << ledger.error();
    ledger_ = *std::move(ledger);
    std::filesystem::create_directory(out());
    wire::OpenSession settings;
    settings.set_session(kSession);
    settings.mutable_destination()->set_called_ae("PACS");
    settings.mutable_destination()->set_calling_ae("RUST_SCU");
    settings.mutable_destination()->set_host("pacs.example.org");
    settings.mutable_destination()->set_port(104);
    InTransaction([&] { session_ = ledger_->CreateSession(settings, After(0)).key; });
  }

  std::string out() const { return (folder_ / "out").string(); }
  std::string FailuresFile() const { return out() + "/dicom_sender_summary_" + kSession + "_failures.ndjson"; }

  template <class Work>
  void InTransaction(Work work) {
    ledger_->Begin();
    work();
    ledger_->Commit();
  }

  // Creates files at `paths` with different SOP Instance UIDs.
  StudyKey Feed(const std::string& study, const std::vector<std::string>& paths, std::uint64_t size_bytes = 1 << 20) {
    wire::PublishBatch batch;
    auto* root = batch.add_roots();
    root->set_id(1);
    root->set_path("/data");
    auto* items = batch.add_studies();
    items->set_study_instance_uid(study);
    for (const std::string& path : paths) {
      auto* instance = items->add_instances();
      instance->set_root(1);
      instance->set_path(path);
      instance->set_sop_instance_uid("1.9." + std::to_string(++last_uid_));
      instance->set_size_bytes(size_bytes);
    }
    return Publish(batch);
  }
  StudyKey Publish(const wire::PublishBatch& batch) {
    StudyKey study = 0;
    InTransaction([&] { study = ledger_->AddStudies(session_, batch).at(0).study; });
    return study;
  }

  void Change(StudyKey study, std::uint32_t index, InstanceState state, std::optional<std::uint16_t> status = {},
              const std::string& reason = {}, std::uint32_t attempts = 1) {
    InstanceChange change;
    change.study = study;
    change.index = index;
    change.state = state;
    change.attempts = attempts;
    change.status = status;
    change.reason = reason;
    change.duration_us = 2500;
    change.worker = "w";
    InTransaction([&] { ReadAndChange(*ledger_, {change}, After(8000)); });
  }
  void Scan(const std::map<std::string, std::uint64_t>& ignored) {
    InTransaction([&] {
      std::uint64_t scan = 1;
      ledger_->BeginScan(session_, "", scan);
      ledger_->CompleteScan(session_, "", scan, ignored);
    });
  }
  void Grant(StudyKey study, const std::string& worker = "w") {
    InTransaction([&] {
      ledger_->GrantLease(study, ++last_lease_, worker, "", 1, After(5000));
      ledger_->RecordReport(ledger_->FindLease(last_lease_).value(), 1, 1);
    });
  }
  void End(wire::SessionState state, const std::string& reason = {}) {
    InTransaction([&] { ledger_->SetSessionState(session_, state, reason, After(10'000)); });
  }

  SessionSummary Summarized(std::int64_t after) {
    return Summarize(*ledger_, ledger_->LoadSession(session_), After(after));
  }
  tl::expected<SummaryFiles, std::string> TryWrite(const std::string& folder) {
    SessionSummary summary = Summarized(20'000);
    summary.threads_used = 4;
    return SummaryWriter(*ledger_, folder).WriteOnce(summary);
  }
  rapidjson::Document Write() {
    const auto files = TryWrite(out());
    if (!files) throw std::runtime_error(files.error());
    rapidjson::Document document;
    EXPECT_EQ(files->summary, out() + "/dicom_sender_summary_" + kSession + ".json");
    document.Parse<rapidjson::kParseValidateEncodingFlag>(ReadFile(files->summary).c_str());
    if (document.HasParseError()) throw std::runtime_error("no JSON: " + ReadFile(files->summary));
    EXPECT_EQ(document["total_files"].GetUint64(),
              document["successful_transfers"].GetUint64() + document["failed_transfers"].GetUint64() +
                  document["skipped"].GetUint64() + document["pending"].GetUint64());
    return document;
  }
  std::vector<std::string> Lines(const std::string& file) const {
    std::vector<std::string> lines;
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
  std::vector<std::string> FilesWritten() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(out())) names.push_back(entry.path().filename());
    return names;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_;
  SessionKey session_ = 0;
  LeaseId last_lease_ = 0;
  int last_uid_ = 0;
};

std::vector<std::string> Names(const rapidjson::Value& object) {
  std::vector<std::string> names;
  for (const auto& member : object.GetObject()) names.emplace_back(member.name.GetString());
  return names;
}

TEST_F(SummaryTest, TheFieldsAreInOrder) {
  End(wire::SESSION_COMPLETE);
  EXPECT_THAT(
      Names(Write()),
      ElementsAre("session_id", "start_time", "end_time", "total_files", "successful_transfers", "failed_transfers",
                  "total_bytes", "total_time_ms", "average_transfer_time_ms", "throughput_mbps", "threads_used",
                  "destination", "calling_ae", "called_ae", "studies_processed", "schema_version", "warnings",
                  "skipped", "duplicates", "conflicts", "retries", "resends", "associations", "workers",
                  "interrupted", "end_reason", "pending", "ignored_files", "ignored_by_reason", "studies", "failures",
                  "warned", "skipped_files", "not_read_files", "not_read_folders", "conflict_files", "not_read"));
}

TEST_F(SummaryTest, ReportsACompleteSession) {
  const StudyKey first = Feed("1.1", {"a", "b", "c"});
  const StudyKey second = Feed("1.2", {"d"});
  Grant(first, "x");
  Grant(second, "y");
  Change(first, 0, kStored, 0x0000, "", 3);
  Change(first, 1, kStoredWithWarning, 0xB000, "B000 (coercion of data elements)");
  Change(first, 2, kStored, 0x0000);
  Change(second, 0, kFailed, 0xC123, "C123 (cannot understand): \"bad\"\n");
  Scan({{"empty", 2}, {"not_dicom", 3}});
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();
  EXPECT_STREQ(summary["session_id"].GetString(), kSession);
  EXPECT_STREQ(summary["start_time"].GetString(), "2024-09-10T15:30:15.123Z");
  EXPECT_STREQ(summary["end_time"].GetString(), "2024-09-10T15:30:25.123Z");
  EXPECT_EQ(summary["total_files"].GetUint64(), 4U);
  EXPECT_EQ(summary["successful_transfers"].GetUint64(), 3U);
  EXPECT_EQ(summary["failed_transfers"].GetUint64(), 1U);
  EXPECT_EQ(summary["total_bytes"].GetUint64(), 3U << 20);
  EXPECT_EQ(summary["total_time_ms"].GetUint64(), 10'000U);
  EXPECT_DOUBLE_EQ(summary["average_transfer_time_ms"].GetDouble(), 2.5);
  EXPECT_DOUBLE_EQ(summary["throughput_mbps"].GetDouble(), 0.3);
  EXPECT_EQ(summary["threads_used"].GetUint64(), 4U);
  EXPECT_STREQ(summary["destination"].GetString(), "PACS:104@pacs.example.org");
  EXPECT_STREQ(summary["calling_ae"].GetString(), "RUST_SCU");
  EXPECT_STREQ(summary["called_ae"].GetString(), "PACS");
  EXPECT_EQ(summary["schema_version"].GetUint64(), 1U);
  EXPECT_EQ(summary["warnings"].GetUint64(), 1U);
  EXPECT_EQ(summary["retries"].GetUint64(), 2U);
  EXPECT_EQ(summary["associations"].GetUint64(), 2U);
  EXPECT_EQ(summary["workers"].GetUint64(), 2U);
  EXPECT_FALSE(summary["interrupted"].GetBool());
  EXPECT_STREQ(summary["end_reason"].GetString(), "");
  EXPECT_EQ(summary["ignored_files"].GetUint64(), 5U);
  EXPECT_EQ(summary["ignored_by_reason"]["not_dicom"].GetUint64(), 3U);

  ASSERT_EQ(summary["studies_processed"].Size(), 2U);
  EXPECT_STREQ(summary["studies_processed"][0].GetString(), "1.1");
  ASSERT_EQ(summary["studies"].Size(), 2U);
  const auto& study = summary["studies"][0];
  EXPECT_STREQ(study["study_instance_uid"].GetString(), "1.1");
  EXPECT_EQ(study["total_files"].GetUint64(), 3U);
  EXPECT_EQ(study["successful_transfers"].GetUint64(), 3U);
  EXPECT_EQ(study["warnings"].GetUint64(), 1U);
  EXPECT_EQ(study["total_bytes"].GetUint64(), 3U << 20);
  EXPECT_EQ(study["associations"].GetUint64(), 1U);
  EXPECT_EQ(study["duration_ms"].GetUint64(), 3000U);

  ASSERT_EQ(summary["failures"].Size(), 1U);
  const auto& failure = summary["failures"][0];
  EXPECT_THAT(Names(failure), ElementsAre("path", "study_instance_uid", "sop_instance_uid", "status", "reason",
                                          "attempts", "worker"));
  EXPECT_STREQ(failure["path"].GetString(), "/data/d");
  EXPECT_STREQ(failure["study_instance_uid"].GetString(), "1.2");
  EXPECT_STREQ(failure["sop_instance_uid"].GetString(), "1.9.4");
  EXPECT_STREQ(failure["status"].GetString(), "C123");
  EXPECT_STREQ(failure["reason"].GetString(), "C123 (cannot understand): \"bad\"\n");
  EXPECT_EQ(failure["attempts"].GetUint64(), 1U);
  EXPECT_STREQ(failure["worker"].GetString(), "w");
  ASSERT_EQ(summary["warned"].Size(), 1U);
  EXPECT_STREQ(summary["warned"][0]["status"].GetString(), "B000");
  EXPECT_STREQ(summary["warned"][0]["worker"].GetString(), "w");
  EXPECT_EQ(summary["skipped_files"].Size(), 0U);

  const auto lines = Lines(FailuresFile());
  ASSERT_EQ(lines.size(), 1U);
  rapidjson::Document line;
  line.Parse(lines[0].c_str());
  ASSERT_FALSE(line.HasParseError());
  EXPECT_STREQ(line["kind"].GetString(), "failed");
  line.RemoveMember("kind");
  EXPECT_EQ(line, failure);
}

TEST_F(SummaryTest, OutcomesWithoutAWorkerNameNone) {
  wire::PublishBatch batch;
  batch.add_studies()->add_instances()->set_path("broken");
  batch.mutable_studies(0)->mutable_instances(0)->set_defect("truncated");
  Publish(batch);
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();
  ASSERT_EQ(summary["failures"].Size(), 1U);
  EXPECT_TRUE(summary["failures"][0]["worker"].IsNull());
}

TEST_F(SummaryTest, FiguresAreZeroIfNothingWasSent) {
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_COMPLETE, "", After(-5000)); });
  const auto summary = Write();  // the clock was also set back
  EXPECT_TRUE(summary["average_transfer_time_ms"].IsDouble());
  EXPECT_EQ(summary["average_transfer_time_ms"].GetDouble(), 0);
  EXPECT_TRUE(summary["throughput_mbps"].IsDouble());
  EXPECT_EQ(summary["throughput_mbps"].GetDouble(), 0);
  EXPECT_EQ(summary["total_time_ms"].GetUint64(), 0U);
  EXPECT_THAT(FilesWritten(), ElementsAre(std::string("dicom_sender_summary_") + kSession + ".json"));
}

TEST_F(SummaryTest, DuplicatesAreListedAsSkipped) {
  wire::PublishBatch batch;
  auto* items = batch.add_studies();
  items->set_study_instance_uid("1.1");
  for (const char* path : {"/a", "/b", "/c"}) {
    auto* instance = items->add_instances();
    instance->set_path(path);
    instance->set_sop_instance_uid("1.1.1");
    instance->set_size_bytes(path == std::string("/c") ? 11 : 10);
  }
  const StudyKey study = Publish(batch);
  Change(study, 0, kStored, 0);
  InTransaction([&] {
    const std::array comparisons = {Comparison{study, 1, ""}, Comparison{study, 2, "(0010,0020) differs"}};
    ledger_->RecordComparisons(session_, comparisons);
  });
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();
  EXPECT_EQ(summary["skipped"].GetUint64(), 2U);
  EXPECT_EQ(summary["duplicates"].GetUint64(), 1U);
  EXPECT_EQ(summary["conflicts"].GetUint64(), 1U);
  ASSERT_EQ(summary["skipped_files"].Size(), 2U);
  EXPECT_STREQ(summary["skipped_files"][0]["path"].GetString(), "/b");
  EXPECT_STREQ(summary["skipped_files"][0]["reason"].GetString(), "duplicate of /a");
  EXPECT_TRUE(summary["skipped_files"][0]["status"].IsNull());
  ASSERT_EQ(summary["conflict_files"].Size(), 1U);
  EXPECT_STREQ(summary["conflict_files"][0]["path"].GetString(), "/c");
  const auto lines = Lines(FailuresFile());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0], testing::AllOf(HasSubstr("/a"), HasSubstr("/c"), HasSubstr("(0010,0020) differs"),
                                       HasSubstr("\"kind\":\"conflict\"")));
}

TEST_F(SummaryTest, UnreadPathsAreNotCountedAsIgnored) {
  Change(Feed("1.1", {"a"}), 0, kStored, 0);
  Scan({{"empty", 2}, {"unreadable", 0}, {"unreadable_folder", 1}});
  InTransaction([&] {
    const std::array paths = {UnreadPath{"/data/closed", true, "Permission denied"}};
    ledger_->AddUnread(session_, "", paths);
  });
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();
  EXPECT_EQ(summary["ignored_files"].GetUint64(), 2U);
  EXPECT_FALSE(summary["ignored_by_reason"].HasMember("unreadable_folder"));
  EXPECT_EQ(summary["not_read_files"].GetUint64(), 0U);
  EXPECT_EQ(summary["not_read_folders"].GetUint64(), 1U);
  ASSERT_EQ(summary["not_read"].Size(), 1U);
  EXPECT_STREQ(summary["not_read"][0]["path"].GetString(), "/data/closed");
  EXPECT_TRUE(summary["not_read"][0]["is_folder"].GetBool());
  EXPECT_STREQ(summary["not_read"][0]["reason"].GetString(), "Permission denied");
  const auto lines = Lines(FailuresFile());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0], testing::AllOf(HasSubstr("/data/closed"), HasSubstr("\"kind\":\"not_read\"")));
}

TEST_F(SummaryTest, PausesDoNotCountInTimeAndThroughput) {
  Change(Feed("1.1", {"a"}), 0, kStored, 0);
  End(wire::SESSION_SUSPENDED);
  const auto before = Write();
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_SENDING, {}, After(100'000'000)); });
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_COMPLETE, {}, After(100'001'000)); });
  const auto after = Write();
  EXPECT_EQ(after["total_time_ms"].GetUint64(), before["total_time_ms"].GetUint64() + 1000);
}

TEST_F(SummaryTest, AnInterruptedSessionHasPendingInstances) {
  const StudyKey study = Feed("1.1", {"a", "b", "c"});
  Feed("1.2", {"d"});
  Change(study, 0, kStored, 0);
  Change(study, 1, kDelayed, 0xA700);
  End(wire::SESSION_SUSPENDED);
  const auto summary = Write();
  EXPECT_TRUE(summary["interrupted"].GetBool());
  EXPECT_STREQ(summary["end_reason"].GetString(), "stopped by request");
  EXPECT_EQ(summary["pending"].GetUint64(), 3U);
  ASSERT_EQ(summary["studies_processed"].Size(), 1U);
  EXPECT_STREQ(summary["studies_processed"][0].GetString(), "1.1");
  EXPECT_EQ(summary["studies"].Size(), 2U);
}

TEST_F(SummaryTest, ASessionThatHasNotEndedEndsNow) {
  Feed("1.1", {"a"});
  const auto summary = Write();
  EXPECT_TRUE(summary["interrupted"].GetBool());
  EXPECT_STREQ(summary["end_time"].GetString(), "2024-09-10T15:30:35.123Z");
  EXPECT_STREQ(summary["end_reason"].GetString(), "stopped before its end");
}

TEST_F(SummaryTest, InstancesLeftByASessionArePendingNotFailed) {
  const StudyKey first = Feed("1.1", {"a", "b"});
  Feed("1.2", {"c", "d"});
  Change(first, 0, kFailed, 0xC000, "C000 (cannot understand)");
  End(wire::SESSION_UNREACHABLE, "connection refused");
  const auto summary = Write();
  EXPECT_TRUE(summary["interrupted"].GetBool());
  EXPECT_STREQ(summary["end_reason"].GetString(), "connection refused");
  EXPECT_EQ(summary["failed_transfers"].GetUint64(), 1U);
  EXPECT_EQ(summary["pending"].GetUint64(), 3U);
  EXPECT_EQ(summary["failures"].Size(), 1U);
  ASSERT_EQ(summary["studies_processed"].Size(), 1U);
  EXPECT_STREQ(summary["studies_processed"][0].GetString(), "1.1");
}

TEST_F(SummaryTest, TheGroupWithoutAStudyInstanceUidIsListedWithTheStudiesOnly) {
  Change(Feed("", {"a"}), 0, kStored, 0);
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();
  EXPECT_EQ(summary["studies_processed"].Size(), 0U);
  ASSERT_EQ(summary["studies"].Size(), 1U);
  EXPECT_STREQ(summary["studies"][0]["study_instance_uid"].GetString(), "");
  EXPECT_EQ(summary["studies"][0]["successful_transfers"].GetUint64(), 1U);
}

TEST_F(SummaryTest, MoreFailuresThanFitAreAllInTheFailuresFile) {
  constexpr std::size_t kFailures = 2 * kReportedInstancesMax + 1;
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < kFailures; ++i) paths.push_back(std::to_string(i));
  const StudyKey study = Feed("1.1", paths);
  std::vector<InstanceChange> changes(kFailures);
  for (std::uint32_t i = 0; i < kFailures; ++i) {
    changes[i].study = study;
    changes[i].index = i;
    changes[i].state = kFailed;
    changes[i].reason = "reason " + std::to_string(i);
  }
  InTransaction([&] { ReadAndChange(*ledger_, changes, After(1)); });
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();
  EXPECT_EQ(summary["failures"].Size(), kReportedInstancesMax);
  const auto lines = Lines(FailuresFile());
  ASSERT_EQ(lines.size(), kFailures);
  EXPECT_THAT(lines.back(), HasSubstr("\"/data/2000\""));
  const wire::SessionReport report = ToReport(*ledger_, Summarized(0), {});
  EXPECT_EQ(report.failure_reasons_size(), kReportedReasonsMax);
  EXPECT_EQ(report.other_failure_reasons(), kFailures - kReportedReasonsMax);
}

TEST_F(SummaryTest, ManyStudiesAreAllListed) {
  for (int i = 0; i < 1001; ++i) Change(Feed("1." + std::to_string(i), {std::to_string(i)}), 0, kStored, 0);
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();
  EXPECT_EQ(summary["studies"].Size(), 1001U);
  EXPECT_EQ(summary["studies_processed"].Size(), 1001U);
}

TEST_F(SummaryTest, InvalidUtf8IsReplaced) {
  Change(Feed("1.1", {std::string("b\xF6se\n\x01\0\"", 8)}), 0, kFailed, {}, "cannot be read");
  End(wire::SESSION_COMPLETE);
  const auto summary = Write();  // Write() validates the encoding
  const auto& path = summary["failures"][0]["path"];
  EXPECT_EQ(std::string(path.GetString(), path.GetStringLength()),
            std::string("/data/b\xEF\xBF\xBDse\n\x01\0\"", 16));
  EXPECT_TRUE(summary["failures"][0]["status"].IsNull());
  EXPECT_EQ(Lines(FailuresFile()).size(), 1U) << "a newline in a path does not start a new line";
}

TEST_F(SummaryTest, FailuresOfAnEarlierEndAreRemoved) {
  const StudyKey study = Feed("1.1", {"a"});
  Change(study, 0, kFailed, 0xC000, "C000");
  End(wire::SESSION_COMPLETE);
  Write();
  ASSERT_TRUE(std::filesystem::exists(FailuresFile()));
  Change(study, 0, kStored, 0);
  EXPECT_EQ(Write()["failed_transfers"].GetUint64(), 0U);
  EXPECT_FALSE(std::filesystem::exists(FailuresFile()));
}

TEST_F(SummaryTest, AWriteErrorIsReportedInOneSentence) {
  End(wire::SESSION_COMPLETE);
  const auto files = TryWrite(out() + "/none");
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error(), "'" + out() + "/none/dicom_sender_summary_" + kSession +
                               ".json' cannot be written: No such file or directory");
}

TEST_F(SummaryTest, AFullDiskIsReportedAndTheEarlierFilesAreKept) {
  const StudyKey study = Feed("1.1", {"a", std::string(4000, 'x')});
  Change(study, 0, kFailed, 0xC000, "C000");
  End(wire::SESSION_COMPLETE);
  Write();
  const std::string before = ReadFile(FailuresFile());
  Change(study, 1, kFailed, 0xC000, "C000");
  {
    const FileSizeLimit limit(1000);
    const auto files = TryWrite(out());
    ASSERT_FALSE(files);
    EXPECT_EQ(files.error(), "'" + FailuresFile() + "' cannot be written: File too large");
  }
  EXPECT_EQ(ReadFile(FailuresFile()), before);
  EXPECT_EQ(FilesWritten().size(), 2U) << "no partial file is left";
}

TEST_F(SummaryTest, TheConsolesNumbersMatchTheFile) {
  const StudyKey study = Feed("1.1", {"a", "b", "c", "d"});
  Grant(study);
  Change(study, 0, kStored, 0);
  for (std::uint32_t i = 1; i < 4; ++i) Change(study, i, kFailed, 0xC000, i == 1 ? "rare" : "frequent");
  Scan({{"empty", 2}, {"not_dicom", 3}});
  End(wire::SESSION_COMPLETE);
  const SessionSummary summary = Summarized(99'000);
  EXPECT_EQ(summary.session.counts.failed, 3U);
  EXPECT_EQ(summary.end_time, After(10'000));
  EXPECT_EQ(summary.elapsed, std::chrono::seconds(10));
  EXPECT_EQ(summary.average_transfer, std::chrono::microseconds(2500));
  EXPECT_DOUBLE_EQ(summary.mib_per_second, 0.1);
  EXPECT_EQ(summary.workers.workers, 1U);
  EXPECT_EQ(summary.ignored, 5U);
  EXPECT_EQ(summary.pending(), 0U);
  EXPECT_FALSE(summary.interrupted());
  EXPECT_EQ(summary.threads_used, 1U) << "that the worker offered";
  const wire::SessionReport report = ToReport(*ledger_, summary, ToStatus(summary.session));
  EXPECT_EQ(report.status().failed(), 3U);
  ASSERT_EQ(report.failure_reasons_size(), 2);
  EXPECT_EQ(report.failure_reasons(0).reason(), "frequent");
  EXPECT_EQ(report.failure_reasons(0).instances(), 2U);
}

}  // namespace
}  // namespace dicom_sender
