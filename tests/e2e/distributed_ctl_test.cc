// dicom-ctl against a real coordinator: each command as a table and as JSON, its exit status, and its effect.
#include "tests/e2e/migration_fixture.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr const char* kUnknownSession = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";

DestinationBehaviour Slow() { return {.rules = {InstanceRule{.delay = milliseconds(20)}}}; }

InstanceRule Answer(const std::string& sop_instance_uid, std::uint16_t status) {
  InstanceRule rule;
  rule.sop_instance_uid = sop_instance_uid;
  rule.status = status;
  return rule;
}

class CtlTest : public MigrationTest {
 protected:
  // Returns its output. Fails the test unless the command succeeds.
  std::string Print(const Words& words) const {
    const ProcessResult result = Ctl(words);
    EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << testing::PrintToString(words) << result.errors;
    return result.output;
  }
  void ExpectRefused(const Words& words, const std::string& sentence) const {
    const ProcessResult result = Ctl(words);
    EXPECT_EQ(result.end, (ProcessEnd{1, 0})) << testing::PrintToString(words);
    EXPECT_EQ(result.output, "") << testing::PrintToString(words);
    EXPECT_THAT(result.errors, HasSubstr(sentence));
  }
  bool WaitForState(const std::string& session, const std::string& state) const {
    return Eventually([&] { return StateOf(session) == state; });
  }
};

TEST_F(CtlTest, ShowsASessionThatHasEnded) {
  const auto instances = WriteExampleStudies(data(), 2, 5);
  StartDestination(
      {.rules = {Answer(instances[1].sop_instance_uid, 0xA900), Answer(instances[7].sop_instance_uid, 0xC000)}});
  StartCoordinator();
  StartWorker("w0");
  const std::string session = Feed();
  const auto summary = SummaryAtEnd(session);

  const std::string table = Print({"sessions"});
  EXPECT_THAT(table, HasSubstr(session + "  complete"));
  for (const char* column : {"SKIPPED", "PENDING", "PERCENT", "RATE", "ETA"}) EXPECT_THAT(table, HasSubstr(column));
  EXPECT_THAT(table, HasSubstr("80%"));
  const auto sessions = CtlJson({"sessions"});
  ASSERT_EQ(sessions["sessions"].Size(), 1U);
  EXPECT_STREQ(sessions["sessions"][0]["status"]["session"].GetString(), session.c_str());
  EXPECT_EQ(Number(sessions["sessions"][0]["status"], "failed"), 2U);

  const std::string shown = Print({"show", session});
  for (const char* part : {"State        complete", "Stored       8", "Failed       2", "C000"}) {
    EXPECT_THAT(shown, HasSubstr(part));
  }
  const auto report = CtlJson({"show", session});
  EXPECT_STREQ(report["status"]["state"].GetString(), "complete");
  EXPECT_EQ(Number(report, "associations"), 2U);
  EXPECT_EQ(report["summary_file"].GetString(), SummaryFile(session).string());

  EXPECT_THAT(Print({"summary", session}), HasSubstr("Successful  8"));
  EXPECT_TRUE(CtlJson({"summary", session}) == summary) << "it must equal the file";

  const std::string failures = Print({"failures", session});
  EXPECT_THAT(failures, HasSubstr("A900    1         w0   "));
  EXPECT_EQ(failures.find("A900 ", failures.find("A900") + 4), std::string::npos) << "once";
  EXPECT_THAT(failures, HasSubstr((data() / "study_1" / "image_2.dcm").string()));
  const std::string lines = Print({"failures", session, "--format", "json"});
  rapidjson::Document first;
  first.Parse(lines.substr(0, lines.find('\n')).c_str());
  ASSERT_FALSE(first.HasParseError()) << lines;
  EXPECT_STREQ(first["status"].GetString(), "A900");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
}

TEST_F(CtlTest, ShowsWorkersAndDestinations) {
  WriteExampleStudies(data(), 1, 30);
  StartDestination(Slow());
  StartCoordinator();
  EXPECT_EQ(CtlJson({"workers"})["workers"].Size(), 0U);
  EXPECT_EQ(CtlJson({"destinations"})["destinations"].Size(), 0U);
  StartWorker("w0", {"-t", "3"});
  Feed();
  ASSERT_TRUE(WaitUntilStored(1));
  EXPECT_THAT(Print({"workers"}), HasSubstr("w0      sending  3             1"));
  const auto workers = CtlJson({"workers"});
  ASSERT_EQ(workers["workers"].Size(), 1U);
  EXPECT_STREQ(workers["workers"][0]["worker"].GetString(), "w0");
  EXPECT_EQ(Number(workers["workers"][0], "capacity"), 3U);
  EXPECT_EQ(Number(workers["workers"][0], "leases"), 1U);

  const std::string destination = "TEST_SCP:" + std::to_string(destination_port_.number()) + "@127.0.0.1";
  EXPECT_THAT(Print({"destinations"}), HasSubstr(destination + "  reachable  1"));
  const auto destinations = CtlJson({"destinations"});
  ASSERT_EQ(destinations["destinations"].Size(), 1U);
  EXPECT_EQ(destinations["destinations"][0]["destination"].GetString(), destination);
  EXPECT_FALSE(destinations["destinations"][0]["breaker_open"].GetBool());
}

TEST_F(CtlTest, PauseAndResume) {
  const auto instances = WriteExampleStudies(data(), 3, 20);
  // Slow enough that the first study is still being sent at the second pause, even on a busy machine.
  StartDestination({.rules = {InstanceRule{.delay = milliseconds(500)}}});
  StartCoordinator();
  StartWorker("w0");
  const std::string session = Feed();
  ASSERT_TRUE(WaitUntilStored(3));
  EXPECT_THAT(Print({"pause", session}), HasSubstr("(stopping)"));
  EXPECT_THAT(Print({"show", session}), HasSubstr("Waits for    1 study that is being sent"));
  EXPECT_EQ(Print({"resume", session}), "session " + session + " is sending\n") << "its lease is still in force";
  EXPECT_THAT(Print({"pause", session}), HasSubstr("(stopping)"));
  destination_.SetBehaviour(Slow());
  ASSERT_TRUE(WaitForState(session, "suspended"));
  EXPECT_EQ(Stored(destination_.Log()), 20U) << "the study that was being sent was finished, and no other one begun";
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(SummaryFile(session)); }));
  EXPECT_EQ(Number(CtlJson({"summary", session}), "pending"), 40U);
  // The next end of the session writes it again.
  std::filesystem::remove(SummaryFile(session));
  destination_.SetBehaviour({});
  const auto resumed = CtlJson({"resume", session});
  EXPECT_STREQ(resumed["state"].GetString(), "sending");
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  EXPECT_EQ(destination_.Log().associations.size(), 3U);
}

TEST_F(CtlTest, CancelAndResume) {
  const auto instances = WriteExampleStudies(data(), 2, 40);
  StartDestination(Slow());
  StartCoordinator();
  StartWorker("w0");
  const std::string session = Feed();
  ASSERT_TRUE(WaitUntilStored(3));
  EXPECT_THAT(Print({"cancel", session}), HasSubstr("session " + session + " is "));
  const auto summary = SummaryAtEnd(session);
  for (const auto& program : programs_)
    EXPECT_EQ(program->Errors().find("WARN"), std::string::npos) << program->Errors();
  EXPECT_TRUE(std::any_of(programs_.begin(), programs_.end(), [](const auto& program) {
    return program->Errors().find("ended early: cancelled by an operator") != std::string::npos;
  })) << "the coordinator's log says why";
  EXPECT_EQ(StateOf(session), "cancelled");
  ExpectCountsAddUp(summary, Number(summary, "pending"));
  EXPECT_GE(Number(summary, "pending"), 40U) << "the study that was not begun, at least";
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
  EXPECT_STREQ(summary["end_reason"].GetString(), "cancelled by an operator");
  std::filesystem::remove(SummaryFile(session));
  EXPECT_EQ(StateOf(session), "cancelled");
  Print({"resume", session});
  ExpectAllStored(session, instances);
}

TEST_F(CtlTest, RequeueSendsFailedInstancesAgain) {
  const auto instances = WriteExampleStudies(data(), 2, 5);
  StartDestination(
      {.rules = {Answer(instances[1].sop_instance_uid, 0xA900), Answer(instances[2].sop_instance_uid, 0xC000),
                 Answer(instances[7].sop_instance_uid, 0xC000)}});
  StartCoordinator();
  StartWorker("w0");
  const std::string session = Feed();
  EXPECT_EQ(Number(SummaryAtEnd(session), "failed_transfers"), 3U);
  destination_.SetBehaviour({});
  const auto requeue = [&](const Words& more, std::uint64_t expected, std::uint64_t left) {
    std::filesystem::remove(SummaryFile(session));
    Words words = {"requeue", session};
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_EQ(Number(CtlJson(words), "instances"), expected);
    EXPECT_EQ(Number(SummaryAtEnd(session), "failed_transfers"), left);
  };
  EXPECT_EQ(Print({"requeue", session, "--reason", "no such reason", "--worker", "w0"}),
            "Nothing requeued: no failed instance of session " + session +
                " matches --reason 'no such reason' --worker 'w0'; 'dicom-ctl failures " + session +
                "' lists what failed\n");
  EXPECT_THAT(Print({"requeue", session, "--worker", "w1"}), HasSubstr("Nothing requeued"));
  EXPECT_EQ(StateOf(session), "complete");
  requeue({"--reason", "does not match sop class", "--worker", "w0"}, 1, 2);
  requeue({"--status", "C000", "--study", instances[7].study_uid}, 1, 1);
  requeue({}, 1, 0);
  EXPECT_THAT(Print({"requeue", session}), HasSubstr("has no failed instance that can be sent again"));
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
}

TEST_F(CtlTest, ResumeRetriesFailedInstancesOnlyOnRequest) {
  const auto instances = WriteExampleStudies(data(), 1, 5);
  StartDestination({.rules = {Answer(instances[1].sop_instance_uid, 0xA900)}});
  StartCoordinator();
  StartWorker("w0");
  const std::string session = Feed();
  EXPECT_EQ(Number(SummaryAtEnd(session), "failed_transfers"), 1U);
  destination_.SetBehaviour({});
  Print({"resume", session});
  ASSERT_TRUE(WaitForState(session, "complete"));
  EXPECT_EQ(destination_.Log().instances.size(), 5U);
  std::filesystem::remove(SummaryFile(session));
  Print({"resume", session, "--retry-failed"});
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
}

TEST_F(CtlTest, DrainStopsAWorker) {
  const auto instances = WriteExampleStudies(data(), 3, 20);
  StartDestination(Slow());
  StartCoordinator();
  Program& worker = StartWorker("w0");
  const std::string session = Feed();
  ASSERT_TRUE(WaitUntilStored(3));
  EXPECT_THAT(Print({"drain", "w0"}), HasSubstr("worker w0 drains"));
  EXPECT_EQ(worker.Wait(), 0);
  EXPECT_THAT(worker.Errors(), HasSubstr("Draining: requested by the coordinator"));
  EXPECT_EQ(CtlJson({"workers"})["workers"].Size(), 0U) << "it has left";
  EXPECT_LT(Stored(destination_.Log()), instances.size());
  EXPECT_EQ(StateOf(session), "sending");
  StartWorker("w1", {"-t", "3"});
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  EXPECT_EQ(Number(SummaryAtEnd(session), "resends"), 0U);
}

TEST_F(CtlTest, ReportsWhyACommandFails) {
  StartCoordinator();
  for (const char* command : {"show", "summary", "failures", "pause", "resume", "cancel", "requeue"}) {
    ExpectRefused({command, kUnknownSession}, "is not in this ledger");
  }
  ExpectRefused({"drain", "nobody"}, "worker 'nobody' is not connected");
  EXPECT_EQ(Ctl({"show", "no-uuid"}).end, (ProcessEnd{2, 0}));
  EXPECT_EQ(Ctl({"dance"}).end, (ProcessEnd{2, 0}));
  EXPECT_EQ(Ctl({"sessions", "--format", "xml"}).end, (ProcessEnd{2, 0}));
  EXPECT_EQ(coordinator_->Stop(), 0);
  const ProcessResult result = Ctl({"sessions", "--timeout", "1"});
  EXPECT_EQ(result.end, (ProcessEnd{3, 0}));
  EXPECT_THAT(result.errors, HasSubstr("no connection to coordinator " + endpoint()));
}

TEST_F(CtlTest, DoesNotOverwriteKeys) {
  EXPECT_THAT(Print({"keygen", "name", "--output-dir", folder_.path()}), HasSubstr("name.key_secret"));
  const std::string secret = ReadFile(folder_ / "name.key_secret");
  EXPECT_EQ(std::filesystem::status(folder_ / "name.key_secret").permissions(), std::filesystem::perms(0600));
  EXPECT_EQ(Ctl({"keygen", "name", "--output-dir", folder_.path()}).end, (ProcessEnd{2, 0}));
  EXPECT_EQ(ReadFile(folder_ / "name.key_secret"), secret);
}

}  // namespace
}  // namespace dicom_sender
