// Runs the complete preflight on a real ledger with a scripted destination.
#include "preflight/preflight.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <rapidjson/document.h>

#include <array>

#include "cli/exit_status.h"
#include "common/unique_fd.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "preflight/report.h"
#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/preflight/scripted_destination.h"

namespace dicom_sender {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kCt = "1.2.840.10008.5.1.4.1.1.2";
const std::string kMr = "1.2.840.10008.5.1.4.1.1.4";
const std::string kJpeg = "1.2.840.10008.1.2.4.50";
const std::string kExplicit = "1.2.840.10008.1.2.1";

struct File {
  std::string sop_class = kCt;
  std::string transfer_syntax = kExplicit;
  std::string defect = {};
  std::string sop_instance = {};  // empty: a new one
  std::uint64_t size = 100;
};

class PreflightTest : public testing::Test {
 protected:
  PreflightTest() { ledger_ = *OpenSqliteLedger((folder_ / "ledger.db").string()); }

  void Open(const std::string& host) {
    wire::OpenSession settings;
    settings.set_session("11111111-2222-4333-8444-555555555555");
    if (!host.empty()) {
      settings.mutable_destination()->set_host(host);
      settings.mutable_destination()->set_port(104);
      settings.mutable_destination()->set_called_ae("PACS");
    }
    settings.mutable_destination()->set_calling_ae("RUST_SCU");
    ledger_->Begin();
    session_ = ledger_->CreateSession(settings, {}).key;
    ledger_->Commit();
  }
  void Add(const std::string& study, const std::vector<File>& files) {
    wire::PublishBatch batch;
    batch.add_roots()->set_path("/data");
    auto* items = batch.add_studies();
    items->set_study_instance_uid(study);
    for (const File& file : files) {
      auto* instance = items->add_instances();
      const std::string number = std::to_string(++last_uid_);
      instance->set_path(number + ".dcm");
      instance->set_sop_instance_uid(file.sop_instance.empty() ? "1.9." + number : file.sop_instance);
      instance->set_sop_class_uid(file.sop_class);
      instance->set_transfer_syntax_uid(file.transfer_syntax);
      instance->set_size_bytes(file.size);
      instance->set_defect(file.defect);
    }
    ledger_->Begin();
    ledger_->AddStudies(session_, batch);
    ledger_->Commit();
  }
  void CompleteScan(const std::map<std::string, std::uint64_t>& ignored = {}) {
    std::uint64_t scan = 1;
    ledger_->Begin();
    ledger_->BeginScan(session_, "", scan);
    ledger_->CompleteScan(session_, "", scan, ignored);
    ledger_->Commit();
  }
  Preflight Make() { return MakePreflight(*ledger_, ledger_->LoadSession(session_), destination_.associate()); }
  std::string Report(const Preflight& preflight, PlanFormat format, int expected_status) {
    const auto file = folder_ / "report";
    const UniqueFd out(open(file.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600));
    const UniqueFd errors(open("/dev/null", O_WRONLY));
    Console console("test", errors.get(), errors.get(), {});
    const ReportContext context{.log_file = "a.log", .scan_is_kept = true, .send_command = "dicom-sender --resume X"};
    EXPECT_EQ(ReportPreflight(preflight, *ledger_, format, context, out.get(), console), expected_status);
    return ReadFile(file);
  }
  rapidjson::Document Json(const Preflight& preflight, int expected_status) {
    rapidjson::Document document;
    document.Parse(Report(preflight, PlanFormat::kJson, expected_status).c_str());
    EXPECT_TRUE(document.IsObject());
    return document;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_;
  SessionKey session_ = 0;
  ScriptedDestination destination_;
  int last_uid_ = 0;
};

TEST_F(PreflightTest, ProposesEachKindOfStudyOnceAndCountsInstances) {
  Open("h");
  for (int i = 0; i < 10; ++i) {
    Add("1." + std::to_string(i), {{kCt, kJpeg}, {kCt, kJpeg}});
    Add("2." + std::to_string(i), {{kMr, kExplicit}});
  }
  CompleteScan();
  destination_.accepts = [](const std::string& sop_class, const std::string& syntax) {
    return sop_class == kCt && syntax != kJpeg;
  };
  const Preflight preflight = Make();
  EXPECT_TRUE(preflight.asked);
  EXPECT_EQ(preflight.query_associations, 2U);
  EXPECT_EQ(destination_.requests.size(), 2U);
  EXPECT_EQ(preflight.studies.associations, 20U);
  EXPECT_EQ(InstancesWith(preflight, Fate::kDecoded), 20U);
  EXPECT_EQ(InstancesWith(preflight, Fate::kRefused), 10U);
  EXPECT_EQ(ExitStatusOf(preflight), kExitSomeFailed);
}

TEST_F(PreflightTest, ManyKindsOfStudiesAreProposedTogether) {
  Open("h");
  for (int i = 0; i < 50; ++i) Add("1." + std::to_string(i), {{"1.2.3." + std::to_string(i), kJpeg}});
  CompleteScan();
  const Preflight preflight = Make();
  EXPECT_TRUE(preflight.studies.merged);
  EXPECT_EQ(preflight.studies.associations, 50U);
  EXPECT_EQ(destination_.requests.size(), 1U);
  EXPECT_EQ(InstancesWith(preflight, Fate::kAsIs), 50U);
  EXPECT_THAT(Report(preflight, PlanFormat::kText, kExitAllStored), HasSubstr("for all studies together"));
}

TEST_F(PreflightTest, CountsByStudyIfAPairsAnswerDependsOnTheKind) {
  Open("h");
  Add("1", {{kCt, kExplicit}, {kCt, kExplicit}, {kCt, kExplicit}});
  Add("2", {{kCt, kExplicit}, {kMr, kExplicit}});
  CompleteScan();
  destination_.fails = [](const AssociationRequest& request) -> std::optional<AssociationFailure> {
    if (request.contexts.size() != 4) return std::nullopt;
    return AssociationFailure{.kind = AssociationFailureKind::kAborted, .reason = "no MR here", .connected = true};
  };
  const Preflight preflight = Make();
  EXPECT_EQ(InstancesWith(preflight, Fate::kAsIs), 3U);
  EXPECT_EQ(InstancesWith(preflight, Fate::kRefused), 2U);
  EXPECT_EQ(ExitStatusOf(preflight), kExitSomeFailed) << "the destination answers others";
}

TEST_F(PreflightTest, ListsInstancesThatNoDestinationWouldGet) {
  Open("h");
  Add("1", {{.sop_instance = "1.9.77"},
            {.defect = "it is cut\noff"},
            {.sop_instance = "1.9.77", .size = 200},
            {.sop_instance = "1.9.77"}});
  CompleteScan({{"unreadable", 1}, {"unreadable_folder", 1}, {"not_dicom", 7}});
  ledger_->Begin();
  const StudyKey study = ledger_->Studies(session_, 0, 1).at(0).key;
  ledger_->RecordComparisons(session_,
                             std::array{Comparison{study, 2, "(0028,0010) differs"}, Comparison{study, 3, ""}});
  ledger_->AddUnread(session_, "",
                     std::array{UnreadPath{"/data/closed", true, "Permission denied"},
                                UnreadPath{"/data/file", false, "Input/output error"}});
  ledger_->Commit();
  const Preflight preflight = Make();
  const Shortfall shortfall = ShortfallOf(preflight);
  EXPECT_EQ(shortfall.defective, 1U);
  EXPECT_EQ(shortfall.conflicts, 1U);
  EXPECT_EQ(shortfall.not_read, 2U);
  EXPECT_THAT(Report(preflight, PlanFormat::kText, kExitSomeFailed),
              AllOf(HasSubstr("Defective files\n  /data/2.dcm: it is cut\\noff\n"),
                    HasSubstr("Conflicts\n  /data/3.dcm: "), Not(HasSubstr("/data/4.dcm")),
                    HasSubstr("NOT READ\n  /data/closed/: Permission denied\n  /data/file: Input/output error\n"),
                    HasSubstr("Would not arrive: 1 defective file, 1 conflict, 2 files or folders NOT READ\n"),
                    HasSubstr("The scan is kept; to send what it found:\n  dicom-sender --resume X\n")));
  const auto json = Json(preflight, kExitSomeFailed);
  EXPECT_EQ(json["would_not_arrive"].GetUint(), 4U);
  EXPECT_EQ(json["exit_status"].GetInt(), kExitSomeFailed);
  ASSERT_EQ(json["not_read_paths"].Size(), 2U);
  EXPECT_STREQ(json["not_read_paths"][0]["path"].GetString(), "/data/closed");
  EXPECT_TRUE(json["not_read_paths"][0]["is_folder"].GetBool());
  EXPECT_FALSE(json["ignored_by_reason"].HasMember("unreadable"));
  EXPECT_EQ(json["ignored_by_reason"]["not_dicom"].GetUint(), 7U);
  EXPECT_STREQ(json["session_id"].GetString(), "11111111-2222-4333-8444-555555555555");
  ASSERT_EQ(json["defective_files"].Size(), 1U);
  EXPECT_STREQ(json["defective_files"][0]["path"].GetString(), "/data/2.dcm");
  EXPECT_STREQ(json["defective_files"][0]["reason"].GetString(), "it is cut\noff");
  ASSERT_EQ(json["conflicting_files"].Size(), 1U);
  EXPECT_STREQ(json["conflicting_files"][0]["path"].GetString(), "/data/3.dcm");
  EXPECT_STREQ(json["contexts"][0]["result"].GetString(), "as_is");
}

TEST_F(PreflightTest, ListsAreReadPageByPage) {
  Open("h");
  Add("1", std::vector<File>(2500, File{.defect = "no"}));
  CompleteScan();
  EXPECT_EQ(Json(Make(), kExitSomeFailed)["defective_files"].Size(), 2500U);
  EXPECT_TRUE(destination_.requests.empty()) << "there is nothing to propose";
}

TEST_F(PreflightTest, AnUnreachableDestinationHasItsOwnExitStatus) {
  Open("h");
  Add("1", {{}, {.defect = "no"}});
  CompleteScan();
  destination_.fails = [](const AssociationRequest&) {
    return std::optional(
        AssociationFailure{.kind = AssociationFailureKind::kRefused, .reason = "connection refused"});
  };
  const Preflight preflight = Make();
  EXPECT_FALSE(preflight.asked);
  const auto json = Json(preflight, kExitDestination);
  EXPECT_THAT(json["query"]["failure"].GetString(), AllOf(HasSubstr("PACS:104@h"), HasSubstr("connection refused")));
  EXPECT_TRUE(json["contexts"][0]["result"].IsNull());
  EXPECT_EQ(json["defective_files"].Size(), 1U) << "the rest is reported nevertheless";
}

TEST_F(PreflightTest, WithoutADestinationNoAssociationIsOpened) {
  Open("");
  Add("1", {{}});
  CompleteScan();
  const Preflight preflight = Make();
  EXPECT_TRUE(destination_.requests.empty());
  EXPECT_TRUE(Json(preflight, kExitAllStored)["query"].IsNull());
  EXPECT_THAT(Report(preflight, PlanFormat::kText, kExitAllStored), HasSubstr("-a AE -H HOST -p PORT"));
}

}  // namespace
}  // namespace dicom_sender
