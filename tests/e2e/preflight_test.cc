// The dry run: what it reports about the destination, what it lists, and how the next run reuses its scan.
#include <gmock/gmock.h>

#include <csignal>

#include "tests/e2e/archives.h"
#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kMr = "1.2.840.10008.5.1.4.1.1.4";
const std::string kExplicit = "1.2.840.10008.1.2.1";
const std::string kImplicit = "1.2.840.10008.1.2";
const std::string kPapyrus = "1.2.840.10008.1.20";  // no decoder exists for these two
const std::string kPrivate = "1.2.3.4.5";

class PreflightTest : public SenderTest {
 protected:
  int DryRun(const std::vector<std::string>& more = {}) {
    std::vector<std::string> options = {"--dry-run"};
    options.insert(options.end(), more.begin(), more.end());
    return Run(options);
  }
  int DryRunWithoutDestination() {
    return RunCommand({DICOM_SENDER_PROGRAM, "--dry-run", "-i", data(), "-r", "--output-dir", out()});
  }
  // Standard output of the last run must be exactly one JSON object.
  rapidjson::Document Json() const {
    rapidjson::Document document;
    document.Parse(result_.output.c_str());
    EXPECT_TRUE(document.IsObject()) << result_.output << result_.errors;
    if (!document.IsObject()) document.SetObject();
    return document;
  }
  void Write(const std::string& file, ExampleInstance instance, int number) {
    instance.sop_instance_uid += "." + std::to_string(number);
    WriteFile(data() / file, ExampleFile(instance));
  }
  void ExpectNothingWasSent() const {
    const auto log = EndedLog();
    EXPECT_TRUE(log.instances.empty());
    for (const auto& association : log.associations) {
      EXPECT_EQ(association.end, AssociationEnd::kReleased) << association.problem;
      EXPECT_FALSE(association.window_proposed);
    }
  }
};

TEST_F(PreflightTest, ProposesEachKindOfStudyOnceAndSendsNothing) {
  WriteExampleStudies(data(), 5, 3);
  StartDestination();
  EXPECT_EQ(DryRun(), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output,
              AllOf(HasSubstr("asked over 1 association\n"), HasSubstr("As is      15 instances"),
                    HasSubstr("Nothing prevents sending 15 instances"), HasSubstr("Dry run: nothing was sent")));
  ExpectNothingWasSent();
  EXPECT_EQ(destination_.Log().associations.size(), 1U);
}

TEST_F(PreflightTest, TheNextRunReusesTheScan) {
  WriteExampleStudies(data(), 2, 3);
  StartDestination();
  EXPECT_EQ(DryRun(), 0) << result_.output << result_.errors;
  ASSERT_EQ(Files(".db").size(), 1U);
  EXPECT_THAT(result_.output, HasSubstr("dicom-sender --resume " + Session() + " --output-dir " + out().string()));
  EXPECT_TRUE(Files(".json").empty()) << "nothing was sent, so there is no summary";
  // A new scan would find it.
  Write("later.dcm", {}, 99);
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, AllOf(HasSubstr("using the scan of 20"), Not(HasSubstr("Indexing"))));
  EXPECT_EQ(Stored(EndedLog()), 6U);
  EXPECT_EQ(Number(Summary(), "total_files"), 6U);
}

TEST_F(PreflightTest, AFileThatChangedAfterTheScanIsReadAgain) {
  WriteExampleStudies(data(), 1, 1);
  StartDestination();
  EXPECT_EQ(DryRun(), 0) << result_.output << result_.errors;
  ExampleInstance longer;
  longer.pixel_bytes = 4096;
  const auto file = data() / "study_1" / "image_1.dcm";
  const std::string uid = longer.sop_instance_uid;
  WriteFile(file, ExampleFile(longer));
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  const auto log = EndedLog();
  ASSERT_EQ(log.instances.size(), 1U);
  EXPECT_EQ(log.instances[0].bytes, ExampleDataset(longer).size());
}

TEST_F(PreflightTest, ReportsWhatWouldBeRefusedOrDecoded) {
  Write("a/1.dcm", {.transfer_syntax_uid = kPapyrus}, 1);
  Write("a/2.dcm", {}, 2);
  Write("b/3.dcm", {.study_uid = "1.2.3", .transfer_syntax_uid = kPrivate}, 3);
  Write("b/4.dcm", {.study_uid = "1.2.3", .sop_class_uid = kMr}, 4);
  Write("b/5.dcm", {.study_uid = "1.2.3", .sop_class_uid = kMr}, 5);
  StartDestination(
      {.abstract_syntaxes = {ExampleInstance().sop_class_uid}, .transfer_syntaxes = {kImplicit, kPapyrus}});
  EXPECT_EQ(DryRun({"--format", "json"}), 1) << result_.output << result_.errors;
  ExpectNothingWasSent();
  const auto json = Json();
  EXPECT_EQ(Number(json, "exit_status"), 1U);
  EXPECT_EQ(Number(json, "would_not_arrive"), 3U);
  EXPECT_EQ(Number(json["query"], "associations"), 2U);
  EXPECT_EQ(Number(json["query"], "as_is"), 1U);
  EXPECT_EQ(Number(json["query"], "decoded"), 1U);
  EXPECT_EQ(Number(json["query"], "refused"), 3U);
  EXPECT_TRUE(json["query"]["failure"].IsNull());
  std::map<std::string, std::string> results;
  for (const auto& pair : json["contexts"].GetArray()) {
    std::string result = pair["result"].GetString();
    if (pair["reason"].IsString()) result += std::string(": ") + pair["reason"].GetString();
    results[pair["sop_class_uid"].GetString() + std::string(" ") + pair["transfer_syntax_uid"].GetString()] = result;
  }
  const std::string sc = ExampleInstance().sop_class_uid + " ";
  EXPECT_EQ(results[sc + kPapyrus], "as_is");
  EXPECT_EQ(results[sc + kExplicit], "decoded");
  EXPECT_THAT(results[sc + kPrivate], AllOf(HasSubstr("refused: "), HasSubstr("cannot be decoded")));
  EXPECT_THAT(results[kMr + " " + kExplicit], HasSubstr("abstract syntax not supported"));

  fs::remove_all(out());
  EXPECT_EQ(DryRun(), 1) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, AllOf(HasSubstr("Decoded    1 instance, "), HasSubstr("Refused    3 instances"),
                                    HasSubstr("Would not arrive: 3 instances refused\n")));
  // The real run confirms it.
  EXPECT_EQ(Resume(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  for (const auto& failure : summary["failures"].GetArray()) {
    EXPECT_THAT(failure["reason"].GetString(), HasSubstr("the destination "));
  }
}

TEST_F(PreflightTest, MoreContextsThanFitIntoOneAssociation) {
  for (int i = 0; i < 100; ++i) Write(std::to_string(i), {.sop_class_uid = "1.2.3." + std::to_string(i)}, i);
  StartDestination();
  EXPECT_EQ(DryRun(), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, HasSubstr("asked over 2 associations\n"));
  ExpectNothingWasSent();
}

TEST_F(PreflightTest, AnUnreachableDestinationHasItsOwnExitStatusAndTheScanIsKept) {
  WriteExampleStudies(data(), 1, 2);
  port_ = FindFreePort();
  EXPECT_EQ(DryRun({"--format", "json"}), 3) << result_.output << result_.errors;
  EXPECT_THAT(result_.errors, HasSubstr("refused"));
  EXPECT_THAT(Json()["query"]["failure"].GetString(), HasSubstr("refused"));
  EXPECT_EQ(Number(Json(), "to_send"), 2U);

  fs::remove_all(out());
  StartDestination({.called_ae = "ELSEWHERE"});
  EXPECT_EQ(DryRun(), 3) << result_.output << result_.errors;
  EXPECT_THAT(result_.errors, HasSubstr("called AE title"));
  EXPECT_THAT(result_.output, AllOf(HasSubstr("No answer: "), HasSubstr("Unknown: 2 instances\n")))
      << "a plan that is kept must not look as if all would arrive";
  destination_.SetBehaviour({});
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  EXPECT_EQ(Stored(EndedLog()), 2U);
}

TEST_F(PreflightTest, ARejectedKindOfStudyDoesNotEndTheQuery) {
  WriteExampleStudies(data(), 2, 2);
  Write("mr.dcm", {.study_uid = "1.2.3", .sop_class_uid = kMr}, 9);
  DestinationBehaviour no_mr;
  no_mr.reject_some = [](const AssociationRecord& requested) -> std::optional<Rejection> {
    for (const ContextRecord& context : requested.contexts) {
      if (context.abstract_syntax == kMr) return Rejection{};
    }
    return std::nullopt;
  };
  StartDestination(no_mr);
  EXPECT_EQ(DryRun(), 1) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, AllOf(HasSubstr("As is      4 instances"), HasSubstr("Refused    1 instance"),
                                    HasSubstr("answers a C-ECHO, but not this association")));
}

TEST_F(PreflightTest, ListsDefectsConflictsAndUnreadableFiles) {
  Write("good.dcm", {}, 1);
  const std::string whole = ExampleFile({});
  WriteFile(data() / "cut\noff.dcm", whole.substr(0, whole.size() - 10));
  Write("other.dcm", {.pixel_bytes = 256}, 1);
  fs::create_symlink("nowhere", data() / "dangling");
  StartDestination();
  EXPECT_EQ(DryRun(), 1) << result_.output << result_.errors;
  EXPECT_THAT(result_.output,
              AllOf(HasSubstr("Defective files\n  " + (data() / "cut\\noff.dcm").string() + ": "),
                    HasSubstr("Conflicts\n  " + (data() / "other.dcm").string() + ": "),
                    HasSubstr("NOT READ\n  " + (data() / "dangling").string() + ": "),
                    HasSubstr("Would not arrive: 1 defective file, 1 conflict, 1 file or folder NOT READ\n")));
  EXPECT_EQ(DryRun({"--format", "json"}), 1) << result_.output << result_.errors;
  const auto json = Json();
  EXPECT_EQ(Number(json, "would_not_arrive"), 3U);
  EXPECT_EQ(json["defective_files"].Size(), 1U);
  EXPECT_EQ(json["conflicting_files"].Size(), 1U);
  EXPECT_EQ(Number(json, "not_read"), 1U);
  ASSERT_EQ(json["not_read_paths"].Size(), 1U);
  EXPECT_EQ(json["not_read_paths"][0]["path"].GetString(), (data() / "dangling").string());
  ExpectNothingWasSent();
}

TEST_F(PreflightTest, ADryRunWithoutADestinationLetsTheNextRunChooseOne) {
  WriteExampleStudies(data(), 1, 2);
  StartDestination();
  EXPECT_EQ(DryRunWithoutDestination(), 0) << result_.output << result_.errors;
  EXPECT_TRUE(destination_.Log().associations.empty());
  EXPECT_THAT(result_.output, HasSubstr("-a AE -H HOST -p PORT"));
  EXPECT_EQ(Resume(), 2);
  EXPECT_THAT(result_.errors, HasSubstr("give -a, -H, and -p"));
  ASSERT_EQ(Files(".db").size(), 1U) << "a usage error has no effect";
  const std::vector<std::string> destination = {"-a", "TEST_SCP", "-H", "127.0.0.1", "-p", std::to_string(port_)};
  EXPECT_EQ(Resume(destination), 0) << result_.output << result_.errors;
  const auto log = EndedLog();
  EXPECT_EQ(Stored(log), 2U);
  EXPECT_EQ(log.associations[0].calling_ae, "RUST_SCU");
  EXPECT_STREQ(Summary()["called_ae"].GetString(), "TEST_SCP");
}

TEST_F(PreflightTest, WithNothingToSendNoLedgerIsKept) {
  const std::string whole = ExampleFile({});
  WriteFile(data() / "cut.dcm", whole.substr(0, whole.size() - 10));
  StartDestination();
  EXPECT_EQ(DryRun(), 1) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, Not(HasSubstr("--resume")));
  EXPECT_TRUE(Files(".db").empty());
  EXPECT_TRUE(destination_.Log().associations.empty());
}

TEST_F(PreflightTest, CtrlCDuringTheQueryKeepsTheScan) {
  WriteExampleStudies(data(), 1, 2);
  StartDestination({.stall_association = true});
  ChildProcess sender(Command({"--dry-run"}));
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.open_associations == 1; }, kRunTimeout));
  sender.Signal(SIGINT);
  EXPECT_EQ(sender.Wait(kRunTimeout), (ProcessEnd{4, 0})) << sender.Output() << sender.Errors();
  destination_.SetBehaviour({});
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  EXPECT_EQ(Stored(EndedLog()), 2U);
}

TEST_F(PreflightTest, TheIndexersDryRunNeedsNoCoordinator) {
  WriteExampleStudies(data(), 2, 2);
  Write("mr.dcm", {.study_uid = "1.2.3", .sop_class_uid = kMr}, 9);
  StartDestination({.abstract_syntaxes = {ExampleInstance().sop_class_uid}});
  fs::create_directories(folder_ / "tmp");
  const std::vector<std::string> command = {
      INDEXER_PROGRAM,      "--dry-run", "-i", data(), "-r", "-a", "TEST_SCP", "-H", "127.0.0.1", "-p",
      std::to_string(port_)};
  const std::vector<std::string> environment = {"TMPDIR=" + (folder_ / "tmp").string()};
  EXPECT_EQ(RunCommand(command, environment), 1) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, AllOf(HasSubstr("Found 5 files"), HasSubstr("As is      4 instances"),
                                    HasSubstr("Would not arrive: 1 instance refused\n"), Not(HasSubstr("--resume"))));
  auto as_json = command;
  as_json.insert(as_json.end(), {"--format", "json"});
  EXPECT_EQ(RunCommand(as_json, environment), 1) << result_.output << result_.errors;
  EXPECT_EQ(Number(Json()["query"], "refused"), 1U);
  EXPECT_TRUE(fs::is_empty(folder_ / "tmp")) << "its ledger was removed";
  ExpectNothingWasSent();
  destination_.Stop();
  EXPECT_EQ(RunCommand(command, environment), 3) << result_.output << result_.errors;
  EXPECT_EQ(RunCommand({INDEXER_PROGRAM, "--dry-run", "-i", data(), "-r"}, environment), 0)
      << result_.output << result_.errors;
}

class StorescpPreflight : public PreflightTest {
 protected:
  void SetUp() override {
    for (const char* program : {"storescp", "dcmcrle"}) {
      if (FindProgram(program).empty()) GTEST_SKIP() << program << " is not installed";
    }
    WriteExampleStudies(data(), 1, 2);
    WriteFile(folder_ / "plain.dcm", ExampleFile({.sop_instance_uid = "1.2.3.4", .pixel_bytes = 4096}));
    const ProcessResult result = RunProcess({"dcmcrle", folder_ / "plain.dcm", data() / "rle.dcm"}, kRunTimeout);
    EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << result.errors;
  }
  void Start(const std::vector<std::string>& options) {
    archive_ = StartStorescp(folder_ / "stored", options);
    port_ = archive_->port();
  }

  std::unique_ptr<Archive> archive_;
};

TEST_F(StorescpPreflight, AcceptsAllOrHasTheRestDecoded) {
  Start({"+xa"});
  EXPECT_EQ(DryRun({"--format", "json"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Json()["query"], "as_is"), 3U);
  archive_.reset();
  Start({"+xe"});
  fs::remove_all(out());
  EXPECT_EQ(DryRun({"--format", "json"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Json()["query"], "as_is"), 2U);
  EXPECT_EQ(Number(Json()["query"], "decoded"), 1U);
  EXPECT_TRUE(FilesBelow(archive_->folder()).empty());
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  EXPECT_EQ(FilesBelow(archive_->folder()).size(), 3U);
}

}  // namespace
}  // namespace dicom_sender
