// Sessions that coordinator, indexers, and workers share, and the reports about them.
#include <algorithm>

#include "proto/validate.h"
#include "tests/e2e/archives.h"
#include "tests/e2e/migration_fixture.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class DistributedSessionTest : public MigrationTest {
 protected:
  // Publishes data() to a session that the workers may complete; the indexer runs until the end.
  Program& StartWaitingIndexer(const Words& more = {}) {
    Words words = NewSession(more);
    words.push_back("--wait");
    Program& indexer = Indexer(words);
    indexer.Start();
    return indexer;
  }
};

TEST_F(DistributedSessionTest, SeveralWorkersSendOneSession) {
  const auto instances = WriteExampleStudies(data(), 8, 10);
  StartDestination();
  StartCoordinator();
  for (const char* name : {"w0", "w1", "w2"}) StartWorker(name, {"-t", "2"});
  const std::string session = Feed();
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  const auto summary = SummaryAtEnd(session);
  EXPECT_EQ(Number(summary, "resends"), 0U);
  EXPECT_EQ(Number(summary, "associations"), 8U);
  EXPECT_EQ(destination_.Log().associations.size(), 8U);
}

TEST_F(DistributedSessionTest, SeveralIndexersFeedOneSession) {
  auto instances = WriteExampleStudies(data(), 6, 20);
  StartDestination();
  StartCoordinator();
  std::filesystem::create_directories(folder_ / "rest");
  for (const char* study : {"study_1", "study_2", "study_3"}) {
    std::filesystem::rename(data() / study, folder_.path() / "rest" / study);
  }
  // Contains half of a study of the other indexer, so each indexer finds a part of it.
  std::filesystem::rename(data() / "study_4" / "image_1.dcm", folder_.path() / "rest" / "image_1.dcm");
  const std::string session = Feed();
  const Words rest = {"-i", folder_ / "rest", "-r", "--session", session};
  Program& second = Indexer(rest);
  second.Start();
  EXPECT_EQ(second.Wait(), 0) << second.Errors();
  EXPECT_EQ(SessionOf(second), session);
  Program& third = Indexer(rest);  // finds instances that are already known
  third.Start();
  EXPECT_EQ(third.Wait(), 0) << third.Errors();
  StartWorker("w0", {"-t", "2"});
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  EXPECT_EQ(destination_.Log().associations.size(), 6U);
}

// Otherwise another indexer could publish another part of the session. If the first indexer were killed before the
// coordinator knew of its scan, the session would complete without the first part.
TEST_F(DistributedSessionTest, AnIndexerPrintsItsSessionOnlyAfterItsScanHasBegun) {
  WriteExampleStudies(data(), 1, 1);
  zmq::context_t context;
  RouterChannel coordinator(context, endpoint());
  Program& indexer = Indexer(NewSession());
  indexer.Start();
  bool begins = false, answers = false;
  const auto turn = [&] {
    while (const auto message = coordinator.Receive()) {
      const auto envelope = ParseToCoordinator(message->bytes);
      if (!envelope) continue;
      const wire::ClientRequest& request = envelope->client();
      begins |= request.has_begin_scan();
      wire::ClientReply reply;
      reply.set_request_id(request.request_id());
      if (request.has_begin_scan()) {
        reply.mutable_scan_begun()->set_scan(request.begin_scan().scan());
      } else if (request.has_publish_batch()) {
        reply.mutable_publish_ack();
      } else {
        reply.mutable_session();
      }
      if (!request.has_begin_scan() || answers) coordinator.Send(message->peer, Envelope(std::move(reply)));
    }
    return begins;
  };
  ASSERT_TRUE(Eventually(turn));
  EXPECT_EQ(indexer.Output(), "");
  answers = true;  // answers the request when it is repeated
  EXPECT_TRUE(Eventually([&] { return turn() && indexer.Output().ends_with('\n'); }));
  EXPECT_TRUE(Eventually([&] { return turn() && indexer.EndsWithin(milliseconds(0)); }));
}

// If studies are sent as they are found, everything published before the indexer crashed is sent, and the session
// stays open for the rest.
TEST_F(DistributedSessionTest, AsFoundSendsBeforeTheScanIsComplete) {
  const auto instances = WriteExampleStudies(data(), 60, 50);
  StartDestination();
  StartCoordinator();
  StartWorker("w0");
  Program& indexer = Indexer(NewSession({"--dispatch", "as-found", "--scan-threads", "1"}));
  indexer.Start();
  const std::string session = SessionOf(indexer);
  ASSERT_TRUE(WaitUntilStored(1));
  indexer.Kill();
  EXPECT_EQ(StateOf(session), "scanning");
  // Everything that is known has been sent; the next indexer continues in the same way.
  ASSERT_TRUE(Eventually([this] {
    const auto all = CtlJson({"destinations"});
    const auto& destination = all["destinations"][0];
    return Number(destination, "leases") + Number(destination, "ready") == 0;
  }));
  const std::uint64_t stored = Stored(destination_.Log());
  Program& again = Indexer({"-i", data(), "-r", "--session", session, "--scan-threads", "1"});
  again.Start();
  ASSERT_TRUE(WaitUntilStored(stored + 1));
  again.Kill();
  EXPECT_EQ(StateOf(session), "scanning");
  again.Start();
  EXPECT_EQ(again.Wait(), 0) << again.Errors();
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
}

TEST_F(DistributedSessionTest, AnIndexerKilledDuringItsScanCanBeRunAgain) {
  const auto instances = WriteExampleStudies(data(), 30, 100);
  StartDestination();
  StartCoordinator();
  StartWorker("w0", {"-t", "2"});
  Program& indexer = Indexer(NewSession({"--scan-threads", "1"}));
  indexer.Start();
  const std::string session = SessionOf(indexer);
  indexer.Kill();
  EXPECT_EQ(StateOf(session), "scanning");
  EXPECT_TRUE(destination_.Log().associations.empty()) << "sent before all was found";
  Program& again = Indexer({"-i", data(), "-r", "--session", session});
  again.Start();
  EXPECT_EQ(again.Wait(), 0) << again.Errors();
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  EXPECT_EQ(destination_.Log().associations.size(), 30U);
}

TEST_F(DistributedSessionTest, WaitShowsTheResultAndExitsWithItsStatus) {
  WriteExampleStudies(data(), 2, 5);
  StartDestination();
  StartCoordinator();
  Program& indexer = StartWaitingIndexer();
  ASSERT_TRUE(indexer.WaitForText("all of them are with the coordinator")) << indexer.Errors();
  EXPECT_FALSE(indexer.EndsWithin(milliseconds(0))) << "nothing has been sent yet";
  StartWorker("w0");
  EXPECT_EQ(indexer.Wait(), 0) << indexer.Errors();
  for (const char* part :
       {"Complete: 10 instances stored", "Total       10 files", "Successful  10", "over 2 associations"})
    EXPECT_THAT(indexer.Errors(), HasSubstr(part));
  EXPECT_THAT(indexer.Errors(), HasSubstr(SummaryFile(SessionOf(indexer)).string()));
  EXPECT_EQ(indexer.Output(), SessionOf(indexer) + "\n") << "scripts need nothing but the id";
}

TEST_F(DistributedSessionTest, WaitReportsFailures) {
  const auto instances = WriteExampleStudies(data(), 1, 5);
  InstanceRule rule;
  rule.sop_instance_uid = instances[2].sop_instance_uid;
  rule.status = 0xC000;
  StartDestination({.rules = {rule}});
  StartCoordinator();
  StartWorker("w0");
  Program& indexer = StartWaitingIndexer();
  EXPECT_EQ(indexer.Wait(), 1);
  EXPECT_THAT(indexer.Errors(), HasSubstr("C000"));
}

TEST_F(DistributedSessionTest, WaitReportsAnUnreachableDestination) {
  WriteExampleStudies(data(), 1, 5);
  StartCoordinator();
  StartWorker("w0");
  Program& indexer = StartWaitingIndexer({"--retry-for", "1"});
  EXPECT_EQ(indexer.Wait(), 3);
  EXPECT_THAT(indexer.Errors(), HasSubstr("refused"));
}

TEST_F(DistributedSessionTest, WaitReportsAPausedSession) {
  WriteExampleStudies(data(), 1, 5);
  StartDestination();
  StartCoordinator();
  Program& indexer = StartWaitingIndexer();
  ASSERT_TRUE(indexer.WaitForText("all of them are with the coordinator")) << indexer.Errors();
  EXPECT_EQ(Ctl({"pause", SessionOf(indexer)}).end, (ProcessEnd{0, 0}));
  EXPECT_EQ(indexer.Wait(), 4);
}

TEST_F(DistributedSessionTest, AWorkerFindsTheFilesElsewhere) {
  const auto instances = WriteExampleStudies(data(), 2, 5);
  StartDestination();
  StartCoordinator();
  const std::string session = Feed();
  const auto elsewhere = folder_ / "mnt";
  std::filesystem::rename(data(), elsewhere);
  StartWorker("w0", {"--path-map", data().string() + "=" + elsewhere.string()});
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
}

TEST_F(DistributedSessionTest, TheNumberOfAssociationsToADestinationIsLimited) {
  const auto instances = WriteExampleStudies(data(), 8, 8);
  StartDestination({.rules = {InstanceRule{.delay = milliseconds(5)}}});
  StartCoordinator({"--max-associations-per-destination", "2"});
  for (const char* name : {"w0", "w1", "w2"}) StartWorker(name, {"-t", "2"});
  ExpectAllStored(Feed(), instances);
  EXPECT_EQ(destination_.Log().most_open_associations, 2U);
}

TEST_F(DistributedSessionTest, ADestinationThatIsDownDoesNotSlowOthers) {
  const auto instances = WriteExampleStudies(data(), 4, 10);
  StartDestination();
  StartCoordinator();
  for (const char* name : {"w0", "w1"}) StartWorker(name);
  const ReservedPort nobody;
  const std::string down = Feed({"-p", std::to_string(nobody.number()), "--retry-for", "1h"});
  ASSERT_TRUE(Eventually([this] { return Ctl({"destinations"}).output.find("unreachable") != std::string::npos; }));
  const std::string well = Feed();
  EXPECT_EQ(Number(SummaryAtEnd(well), "successful_transfers"), 40U);
  EXPECT_EQ(StateOf(down), "sending") << "it still tries";
  EXPECT_THAT(Ctl({"show", down}).output, HasSubstr("refused"));

  TestDestination recovered({.port = nobody.number()});
  ASSERT_TRUE(recovered.Start());
  EXPECT_EQ(Number(SummaryAtEnd(down), "successful_transfers"), 40U);
  ExpectAllStored(well, instances);
}

// --- the same results as from dicom-sender

class SameSummaryTest : public MigrationTest {
 protected:
  void WriteInput() {
    instances_ = WriteExampleStudies(data(), 3, 4);
    const auto study = data() / "study_1";
    std::filesystem::copy_file(study / "image_1.dcm", study / "a_copy.dcm");
    WriteExampleFile(study / "conflict.dcm", instances_[1], 4096);
    const std::string whole = ReadFile(study / "image_2.dcm");
    WriteFile(study / "truncated.dcm", whole.substr(0, whole.size() - 10));
    WriteFile(data() / "readme.txt", "no DICOM");
    WriteFile(data() / "empty", "");
    photo_.study_uid += ".77";
    photo_.sop_instance_uid += ".77";
    photo_.pixel_bytes = 4096;
    WriteFile(folder_ / "plain.dcm", ExampleFile(photo_));
    EXPECT_EQ(RunProcess({"dcmcjpeg", folder_ / "plain.dcm", data() / "jpeg.dcm"}, kPatience).end,
              (ProcessEnd{0, 0}));
  }
  DestinationBehaviour Behaviour() const {
    const auto answer = [this](std::size_t instance, std::uint16_t status) {
      InstanceRule rule;
      rule.sop_instance_uid = instances_[instance].sop_instance_uid;
      rule.status = status;
      rule.error_comment = status == 0xA900 ? "not what it says" : "";
      return rule;
    };
    // The destination does not accept JPEG, so the instance is decoded.
    return {.transfer_syntaxes = {"1.2.840.10008.1.2.1"},
            .rules = {answer(4, 0xA900), answer(5, 0xB000), answer(8, 0xC123)}};
  }

  std::vector<ExampleInstance> instances_;
  ExampleInstance photo_;  // compressed
};

// Removes everything that differs between any two runs.
void Normalise(rapidjson::Value& value) {
  if (value.IsArray()) {
    for (auto& element : value.GetArray()) Normalise(element);
  }
  if (!value.IsObject()) return;
  for (const char* name : {"session_id", "start_time", "end_time", "total_time_ms", "average_transfer_time_ms",
                           "throughput_mbps", "duration_ms", "threads_used", "workers", "worker"}) {
    if (value.HasMember(name)) value[name].SetNull();
  }
  for (auto& member : value.GetObject()) Normalise(member.value);
}

TEST_F(SameSummaryTest, TheSameInputGivesTheSameSummary) {
  if (FindProgram("dcmcjpeg").empty()) GTEST_SKIP() << "dcmcjpeg is not installed";
  WriteInput();
  StartDestination(Behaviour());
  Words command = {DICOM_SENDER_PROGRAM, "--output-dir", folder_ / "alone"};
  const Words words = NewSession();
  command.insert(command.end(), words.begin(), words.end());
  const ProcessResult alone = RunProcess(command, kPatience);
  ASSERT_EQ(alone.end, (ProcessEnd{1, 0})) << alone.output << alone.errors;
  rapidjson::Document expected;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "alone")) {
    if (entry.path().extension() == ".json") expected.Parse(ReadFile(entry.path()).c_str());
  }
  ASSERT_TRUE(expected.IsObject());

  StartCoordinator();
  for (const char* name : {"w0", "w1"}) StartWorker(name);
  auto summary = SummaryAtEnd(Feed());
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "failed_transfers"), 3U);
  EXPECT_EQ(Number(summary, "warnings"), 1U);
  EXPECT_EQ(Number(summary, "duplicates"), 1U);
  EXPECT_EQ(Number(summary, "conflicts"), 1U);
  EXPECT_EQ(Number(summary, "ignored_files"), 2U);
  EXPECT_EQ(StoredTimes(destination_.Log()).at(photo_.sop_instance_uid), 2U) << "each program sent it once, decoded";

  Normalise(expected);
  Normalise(summary);
  ASSERT_EQ(expected.MemberCount(), summary.MemberCount());
  for (const auto& member : expected.GetObject()) {
    ASSERT_TRUE(summary.HasMember(member.name)) << member.name.GetString();
    EXPECT_TRUE(summary[member.name] == member.value) << member.name.GetString();
  }
}

}  // namespace
}  // namespace dicom_sender
