// Output for programs and people: log, console, summary, failures, metrics. Also checks what must not appear there.
#include <gmock/gmock.h>

#include <regex>
#include <sstream>

#include "tests/e2e/archives.h"
#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class OutputTest : public SenderTest {
 protected:
  std::vector<std::string> LogLines() const {
    return Lines(ReadFile(out() / ("dicom_sender_" + Session() + ".log")));
  }

  // One of each kind: stored, failed at the destination, broken, without an SOP Instance UID, duplicate, ignored.
  void WriteMixedFiles(const std::string& patient_name = "Nobody", const std::string& patient_id = "0") {
    ExampleInstance instance;
    instance.patient_name = patient_name;
    instance.patient_id = patient_id;
    instance.accession_number = kAccessionNumber;
    const auto write = [&](const std::string& name) { WriteFile(data() / name, ExampleFile(instance)); };
    write("stored.dcm");
    write("duplicate.dcm");
    instance.sop_instance_uid = kRefused;
    write("refused.dcm");
    instance.sop_instance_uid = kRefused + ".1";
    const std::string whole = ExampleFile(instance);
    WriteFile(data() / "truncated.dcm", whole.substr(0, whole.size() - 10));
    WriteFile(data() / "cut_in_the_name.dcm", whole.substr(0, whole.find(patient_name) + patient_name.size() - 1));
    instance.sop_instance_uid = "";
    write("nameless.dcm");
    instance.sop_instance_uid = kRefused + ".2";
    instance.study_uid = "";
    write("no_study.dcm");
    WriteFile(data() / "readme.txt", "not DICOM at all, only a text that is long enough to be looked at");
  }
  static DestinationBehaviour RefuseOne() {
    InstanceRule rule;
    rule.sop_instance_uid = kRefused;
    rule.status = 0xC000;
    rule.error_comment = "no";
    return {.rules = {rule}};
  }

  static const inline std::string kAccessionNumber = "Exam-0815";
  static const inline std::string kRefused = "1.2.826.0.1.3680043.10.1400.1.7";
};

TEST_F(OutputTest, EveryLogLineHasTheDocumentedFormat) {
  WriteMixedFiles();
  StartDestination(RefuseOne());
  EXPECT_EQ(Run({"-v"}), 1) << result_.output << result_.errors;
  const std::regex form(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO |WARN |ERROR) \S.*)");
  const auto lines = LogLines();
  EXPECT_GT(lines.size(), 5U);
  for (const auto& line : lines) EXPECT_TRUE(std::regex_match(line, form)) << line;
  const std::string log = ReadFile(Files(".log").at(0));
  EXPECT_THAT(log, ContainsRegex("INFO  Thread 0 starting"));
  for (const std::string file : {"truncated.dcm", "nameless.dcm", "readme.txt", "refused.dcm"}) {
    EXPECT_THAT(log, HasSubstr(file)) << "with its reason";
  }
}

TEST_F(OutputTest, TheJsonLogHasOneObjectPerLine) {
  WriteMixedFiles();
  StartDestination(RefuseOne());
  EXPECT_EQ(Run({"--log-format", "json"}), 1) << result_.output << result_.errors;
  const auto lines = LogLines();
  EXPECT_GT(lines.size(), 5U);
  unsigned with_status = 0;
  for (const auto& line : lines) {
    rapidjson::Document object;
    object.Parse(line.c_str());
    ASSERT_FALSE(object.HasParseError()) << line;
    for (const char* name : {"time", "level", "message"}) EXPECT_TRUE(object[name].IsString()) << line;
    EXPECT_TRUE(std::regex_match(object["time"].GetString(), std::regex(R"(\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z)")))
        << line;
    if (!object.HasMember("status")) continue;
    ++with_status;
    EXPECT_EQ(object["session"].GetString(), Session());
    for (const char* name : {"study", "sop_instance", "path"}) EXPECT_TRUE(object[name].IsString()) << line;
    EXPECT_THAT(std::string(object["message"].GetString()), HasSubstr(object["status"].GetString()));
    EXPECT_THAT(std::string(object["message"].GetString()), HasSubstr(object["path"].GetString()));
  }
  EXPECT_GE(with_status, 1U) << "what the destination refused";
}

TEST_F(OutputTest, TheSummaryHasItsFieldsInOrder) {
  WriteMixedFiles();
  StartDestination(RefuseOne());
  EXPECT_EQ(Run({"-t", "3", "-c", "OUR_SCU"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  std::vector<std::string> names;
  for (const auto& member : summary.GetObject()) names.emplace_back(member.name.GetString());
  EXPECT_THAT(names, ElementsAreArray({"session_id",
                                       "start_time",
                                       "end_time",
                                       "total_files",
                                       "successful_transfers",
                                       "failed_transfers",
                                       "total_bytes",
                                       "total_time_ms",
                                       "average_transfer_time_ms",
                                       "throughput_mbps",
                                       "threads_used",
                                       "destination",
                                       "calling_ae",
                                       "called_ae",
                                       "studies_processed",
                                       "schema_version",
                                       "warnings",
                                       "skipped",
                                       "duplicates",
                                       "conflicts",
                                       "retries",
                                       "resends",
                                       "associations",
                                       "workers",
                                       "interrupted",
                                       "end_reason",
                                       "pending",
                                       "ignored_files",
                                       "ignored_by_reason",
                                       "studies",
                                       "failures",
                                       "warned",
                                       "skipped_files",
                                       "not_read_files",
                                       "not_read_folders",
                                       "conflict_files",
                                       "not_read"}));
}

TEST_F(OutputTest, TheSummarysFieldsHaveTheDocumentedMeaning) {
  WriteMixedFiles();
  StartDestination(RefuseOne());
  EXPECT_EQ(Run({"-t", "3", "-c", "OUR_SCU"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(summary["session_id"].GetString(), Session());
  const std::regex time(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)");
  EXPECT_TRUE(std::regex_match(summary["start_time"].GetString(), time));
  EXPECT_TRUE(std::regex_match(summary["end_time"].GetString(), time));
  EXPECT_LE(std::string(summary["start_time"].GetString()), summary["end_time"].GetString());
  EXPECT_EQ(summary["destination"].GetString(), "TEST_SCP:" + std::to_string(port_) + "@127.0.0.1");
  EXPECT_STREQ(summary["calling_ae"].GetString(), "OUR_SCU");
  EXPECT_STREQ(summary["called_ae"].GetString(), "TEST_SCP");
  EXPECT_EQ(Number(summary, "threads_used"), 3U);
  EXPECT_EQ(Number(summary, "total_files"), 7U);
  EXPECT_EQ(Number(summary, "successful_transfers"), 2U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 4U);
  EXPECT_EQ(Number(summary, "duplicates"), 1U);
  EXPECT_EQ(Number(summary, "ignored_files"), 1U);
  EXPECT_EQ(Number(summary["ignored_by_reason"], "not_dicom"), 1U);
  EXPECT_EQ(Number(summary, "pending"), 0U);
  EXPECT_FALSE(summary["interrupted"].GetBool());
  EXPECT_EQ(Number(summary, "total_bytes"),
            std::filesystem::file_size(data() / "stored.dcm") + std::filesystem::file_size(data() / "no_study.dcm"));
  for (const char* name : {"total_time_ms", "average_transfer_time_ms", "throughput_mbps"}) {
    EXPECT_TRUE(summary[name].IsNumber()) << name;
  }
  ASSERT_EQ(summary["failures"].Size(), 4U);
  EXPECT_THAT(FailureOf(summary, kRefused), HasSubstr("C000"));
}

TEST_F(OutputTest, TheFailuresFileHasAllFailuresAndTheSummaryTheFirstThousand) {
  WriteExampleStudies(data(), 1, 1005);
  StartDestination({.rules = {InstanceRule{.status = 0xA900}}});
  EXPECT_EQ(Run(), 1) << result_.errors;
  const auto summary = Summary();
  EXPECT_EQ(Number(summary, "failed_transfers"), 1005U);
  EXPECT_EQ(summary["failures"].Size(), 1000U);
  ASSERT_EQ(Files("_failures.ndjson").size(), 1U);
  EXPECT_EQ(Files("_failures.ndjson")[0].filename(), "dicom_sender_summary_" + Session() + "_failures.ndjson");
  const auto lines = Lines(ReadFile(Files("_failures.ndjson")[0]));
  EXPECT_EQ(lines.size(), 1005U);
  for (const auto& line : lines) {
    rapidjson::Document failure;
    failure.Parse(line.c_str());
    ASSERT_FALSE(failure.HasParseError()) << line;
    EXPECT_TRUE(std::filesystem::exists(failure["path"].GetString())) << line;
    EXPECT_THAT(failure["sop_instance_uid"].GetString(), HasSubstr("1.2.826.0.1.3680043.10.1400.1."));
    EXPECT_STREQ(failure["status"].GetString(), "A900");
    EXPECT_THAT(failure["reason"].GetString(), HasSubstr("A900"));
    EXPECT_EQ(Number(failure, "attempts"), 1U);
  }
}

TEST_F(OutputTest, NoFailuresFileIsWrittenWithoutFailures) {
  WriteExampleStudies(data(), 1, 1);
  StartDestination();
  EXPECT_EQ(Run(), 0);
  EXPECT_TRUE(Files("_failures.ndjson").empty());
}

TEST_F(OutputTest, TheConsoleReportsProgressAsPlainText) {
  WriteExampleStudies(data(), 23, 3);
  StartDestination();
  EXPECT_EQ(Run({"-t", "2"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(result_.errors, "");
  EXPECT_THAT(result_.output, AllOf(HasSubstr(Session()), HasSubstr("dicom_sender_" + Session() + ".log"),
                                    HasSubstr("Found 69 files, grouped into 23 studies"),
                                    HasSubstr("1.2.826.0.1.3680043.10.1400.1: 3 files"), HasSubstr("and 3 more"),
                                    HasSubstr("dicom_sender_summary_" + Session() + ".json")));
  for (const std::string row : {"Total", "Successful", "Failed", "Size", "Time", "Average", "Throughput", "Threads",
                                "Studies", "Log", "JSON"}) {
    EXPECT_THAT(result_.output, ContainsRegex("\n  " + row + " +[^ ]"));
  }
  EXPECT_THAT(result_.output, Not(AnyOf(HasSubstr("\x1b"), HasSubstr("\r"))));
}

TEST_F(OutputTest, VerbosePrintsOneLinePerInstance) {
  const auto instances = WriteExampleStudies(data(), 2, 3);
  InstanceRule once, refused, warned;
  once.sop_instance_uid = instances[0].sop_instance_uid;
  once.status = 0xA700;
  once.times = 1;
  refused.sop_instance_uid = instances[1].sop_instance_uid;
  refused.status = 0xA900;
  warned.sop_instance_uid = instances[2].sop_instance_uid;
  warned.status = 0xB007;
  StartDestination({.rules = {once, refused, warned}});
  EXPECT_EQ(Run({"-v"}), 1) << result_.output << result_.errors;
  const auto count = [this](const std::string& word, const std::string& file) {
    const auto lines = Lines(result_.output);
    const std::regex form(R"(\[\d+\] )" + word + " +" + (data() / file).string() + R"((: .+)? \(.+\))");
    return std::count_if(lines.begin(), lines.end(), [&](const auto& line) { return std::regex_match(line, form); });
  };
  EXPECT_EQ(count("delayed", "study_1/image_1.dcm"), 1) << result_.output;
  EXPECT_EQ(count("stored", "study_1/image_1.dcm"), 1) << result_.output;
  EXPECT_EQ(count("failed", "study_1/image_2.dcm"), 1) << result_.output;
  EXPECT_EQ(count("warning", "study_1/image_3.dcm"), 1) << result_.output;
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(count("stored", "study_2/image_" + std::to_string(i) + ".dcm"), 1);

  std::filesystem::remove_all(out());
  EXPECT_EQ(Run(), 1);
  EXPECT_THAT(result_.output, Not(HasSubstr("image_1.dcm"))) << "without -v there is none";
}

TEST_F(OutputTest, PatientNamesAndIdsAreNotWritten) {
  for (const std::string format : {"text", "json"}) {
    SCOPED_TRACE(format);
    std::filesystem::remove_all(out());
    WriteMixedFiles("Planted^Secret", "ID4711-PLANTED");
    destination_.Stop();
    StartDestination(RefuseOne());
    EXPECT_EQ(Run({"-v", "--log-format", format}), 1) << result_.output << result_.errors;
    EXPECT_EQ(Files(".db").size(), 1U);
    EXPECT_EQ(Files("_failures.ndjson").size(), 1U);
    const std::string all = AllOutputs();
    EXPECT_NE(all.find("nameless.dcm"), std::string::npos) << "what is searched is not empty";
    // Uses no bare number, because that could be part of a session's UUID.
    for (const std::string secret : {"Planted", "PLANTED", "ID4711"})
      EXPECT_EQ(all.find(secret), std::string::npos) << secret;
    // An accession number identifies a patient in other systems: only the ledger, with its restricted access, has it.
    EXPECT_THAT(result_.output + result_.errors, Not(HasSubstr(kAccessionNumber)));
    for (const auto& entry : std::filesystem::recursive_directory_iterator(out())) {
      const bool is_ledger = entry.path().extension() == ".db";
      EXPECT_EQ(ReadFile(entry.path()).find(kAccessionNumber) != std::string::npos, is_ledger) << entry.path();
    }
  }
}

TEST_F(OutputTest, ADryRunShowsThePlan) {
  WriteExampleStudies(data(), 2, 3);
  StartDestination();
  EXPECT_EQ(Run({"--dry-run"}), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output,
              AllOf(HasSubstr("Found 6 files, grouped into 2 studies"),
                    HasSubstr("1.2.826.0.1.3680043.10.1400.2: 3 files"), ContainsRegex("6 instances, .* KiB"),
                    HasSubstr("TEST_SCP:" + std::to_string(port_) + "@127.0.0.1"), HasSubstr("nothing was sent")));
  EXPECT_THAT(result_.output, AnyOf(HasSubstr("SecondaryCapture"), HasSubstr("Secondary Capture")));
  EXPECT_THAT(result_.output, AnyOf(HasSubstr("LittleEndianExplicit"), HasSubstr("Explicit VR Little Endian")));
  EXPECT_THAT(result_.output, HasSubstr("context"));
  EXPECT_EQ(RunCommand({DICOM_SENDER_PROGRAM, "--dry-run", "-i", data(), "-r", "--output-dir", out()}), 0)
      << "no destination is needed";
}

TEST_F(OutputTest, AnEchoReportsWhetherTheDestinationAnswers) {
  StartDestination();
  const std::vector<std::string> echo = {DICOM_SENDER_PROGRAM, "--echo", "-a", "TEST_SCP", "-H", "127.0.0.1", "-p",
                                         std::to_string(port_)};
  EXPECT_EQ(RunCommand(echo), 0) << result_.output << result_.errors;
  EXPECT_THAT(result_.output, AllOf(HasSubstr("C-ECHO to TEST_SCP:" + std::to_string(port_) + "@127.0.0.1"),
                                    HasSubstr("RUST_SCU"), HasSubstr("success")));
  const auto log = EndedLog();
  ASSERT_EQ(log.associations.size(), 1U);
  EXPECT_EQ(log.associations[0].echoes, 1U);
  EXPECT_EQ(log.associations[0].end, AssociationEnd::kReleased);

  destination_.SetBehaviour({.called_ae = "ELSEWHERE"});
  EXPECT_EQ(RunCommand(echo), 3);
  EXPECT_THAT(result_.output + result_.errors, AllOf(HasSubstr("failed"), HasSubstr("called AE title")));
  destination_.Stop();
  EXPECT_EQ(RunCommand(echo), 3);
  EXPECT_THAT(result_.output + result_.errors, AllOf(HasSubstr("failed"), HasSubstr("refused")));
}

class MetricsTest : public OutputTest {
 protected:
  void SetUp() override {
    if (FindProgram("curl").empty()) GTEST_SKIP() << "curl is not installed";
  }
  std::string Scrape(const std::string& path = "/metrics") const {
    const auto result = RunProcess({"curl", "-sS", "--noproxy", "*", "http://" + address_ + path}, kRunTimeout);
    EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << result.errors;
    return result.output;
  }
  // Scrapes until the text contains that line, and returns the last text.
  std::string ScrapeUntil(const std::string& line) const { return ScrapeUntil("/metrics", line + "\n"); }
  std::string ScrapeUntil(const std::string& path, const std::string& expected) const {
    const auto deadline = std::chrono::steady_clock::now() + kRunTimeout;
    std::string text = Scrape(path);
    while (text.find(expected) == std::string::npos && std::chrono::steady_clock::now() < deadline)
      text = Scrape(path);
    EXPECT_THAT(text, HasSubstr(expected));
    return text;
  }

  const std::string address_ = "127.0.0.1:" + std::to_string(FindFreePort());
};

TEST_F(MetricsTest, KnownSeriesStartAtZeroAndFollowTheRun) {
  WriteExampleStudies(data(), 1, 4);
  StartDestination({.stall_association = true});
  ChildProcess sender(Command({"--metrics", address_}));
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.associations.size() == 1; }, kRunTimeout))
      << sender.Output() << sender.Errors();
  const std::string start = ScrapeUntil("dicom_sender_indexed_files_total{result=\"indexed\"} 4");
  for (const std::string name :
       {"instances_total{outcome=\"stored\"}", "instances_total{outcome=\"stored_with_warning\"}",
        "instances_total{outcome=\"failed\"}", "instances_total{outcome=\"skipped\"}",
        "instances_total{outcome=\"delayed\"}", "bytes_sent_total", "cstore_duration_seconds_count",
        "study_duration_seconds_count", "association_failures_total{reason=\"refused\"}",
        "association_failures_total{reason=\"timeout\"}", "leases_expired_total", "late_outcomes_total",
        "resends_total", "breaker_open", "indexed_files_total{result=\"not_dicom\"}",
        "last_success_timestamp_seconds"}) {
    EXPECT_THAT(start, HasSubstr("\ndicom_sender_" + name + " 0\n"));
  }
  for (const std::string name :
       {"queue_wait_seconds_count 1\n", "associations_active ", "studies{state=\"leased\"} 1\n",
        "workers_connected 1\n", "ledger_commit_duration_seconds_count ", "build_info{version=\""}) {
    EXPECT_THAT(start, HasSubstr("\ndicom_sender_" + name));
  }
  EXPECT_THAT(Scrape("/"), HasSubstr("<script src=\"status.js\"")) << "the status page";
  const std::string sessions = ScrapeUntil("/api/sessions", "\"state\":\"sending\"");
  EXPECT_THAT(sessions, HasSubstr("\"session\":\"" + Session() + "\""));
  EXPECT_THAT(sessions, HasSubstr("\"total\":4,"));

  destination_.Stop();
  destination_.SetBehaviour({.rules = {InstanceRule{.nth = 3, .action = InstanceAction::kStall}}});
  ASSERT_TRUE(destination_.Start());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() == 3; }, kRunTimeout));
  const std::string middle = ScrapeUntil("dicom_sender_instances_total{outcome=\"stored\"} 2");
  EXPECT_THAT(middle, AllOf(HasSubstr("\ndicom_sender_associations_active 1\n"),
                            HasSubstr("\ndicom_sender_cstore_duration_seconds_count 2\n"),
                            Not(HasSubstr("\ndicom_sender_bytes_sent_total 0\n"))));
  for (const std::string& text : {start, middle}) {
    EXPECT_THAT(text, Not(AnyOf(HasSubstr("1.2.826.0.1.3680043.10.1400"), HasSubstr(folder_.path().string()),
                                HasSubstr(Session()))))
        << "no UID, path or session in a label";
  }

  destination_.Stop();
  ASSERT_TRUE(destination_.Start());
  const auto end = sender.Wait(kRunTimeout);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 0) << sender.Output() << sender.Errors();
}

}  // namespace
}  // namespace dicom_sender
