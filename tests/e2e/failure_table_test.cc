// Tests every row of the failure table with the real program against the test destination.
#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

InstanceRule Rule(const ExampleInstance& instance, std::uint16_t status, std::uint64_t times = 0) {
  InstanceRule rule;
  rule.sop_instance_uid = instance.sop_instance_uid;
  rule.status = status;
  rule.times = times;
  return rule;
}
InstanceRule Rule(const ExampleInstance& instance, InstanceAction action, std::uint64_t times = 0) {
  InstanceRule rule;
  rule.sop_instance_uid = instance.sop_instance_uid;
  rule.action = action;
  rule.times = times;
  return rule;
}

using FailureTable = SenderTest;

TEST_F(FailureTable, Success) {
  const auto instances = WriteExampleStudies(data(), 3, 4);
  StartDestination();
  EXPECT_EQ(Run({"-t", "2"}), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 12U);
  EXPECT_EQ(Number(summary, "associations"), 3U) << "one for each study";
  EXPECT_EQ(Number(summary, "threads_used"), 2U);
  const auto log = EndedLog();
  EXPECT_EQ(log.associations.size(), 3U);
  EXPECT_LE(log.most_open_associations, 2U);
  for (const auto& association : log.associations) EXPECT_EQ(association.end, AssociationEnd::kReleased);
  ASSERT_EQ(log.instances.size(), 12U);
  for (const auto& received : log.instances) {
    const auto sent = std::find_if(instances.begin(), instances.end(), [&](const ExampleInstance& instance) {
      return instance.sop_instance_uid == received.sop_instance;
    });
    ASSERT_NE(sent, instances.end());
    EXPECT_EQ(received.fnv1a_hash, Fnv1a(ExampleDataset(*sent))) << "byte for byte as in the file";
  }
  EXPECT_EQ(Files(".db").size(), 1U) << "the ledger stays";
}

TEST_F(FailureTable, AGrantedWindowIsUsedAndResponsesAreMatchedByMessageId) {
  const auto instances = WriteExampleStudies(data(), 2, 40);
  StartDestination({.async_window = 8,
                    .reorder_answers = true,
                    .rules = {Rule(instances[3], 0xC001), Rule(instances[41], 0xB000), Rule(instances[50], 0xA900)}});
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 78U);
  EXPECT_EQ(Number(summary, "warnings"), 1U);
  const auto log = EndedLog();
  ASSERT_EQ(log.associations.size(), 2U);
  for (const auto& association : log.associations) {
    EXPECT_EQ(association.async_window, 8U);
    EXPECT_EQ(association.end, AssociationEnd::kReleased);
  }
  EXPECT_EQ(log.instances.size(), 80U);
}

TEST_F(FailureTable, OnlyThePoisonInstanceOfAWindowUsesUpItsAttempts) {
  const auto instances = WriteExampleStudies(data(), 1, 30);
  StartDestination({.async_window = 8, .rules = {Rule(instances[12], InstanceAction::kAbortAfterDataset)}});
  EXPECT_EQ(Run({"--max-attempts", "2", "--retry-for", "60"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 29U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 1U);
  const auto times = StoredTimes(EndedLog());
  EXPECT_EQ(times.size(), 29U);
  for (const auto& [uid, count] : times) EXPECT_EQ(count, 1U) << uid << " was answered before the loss";
}

TEST_F(FailureTable, WithoutTheOptionNoWindowIsProposed) {
  WriteExampleStudies(data(), 1, 3);
  StartDestination({.async_window = 8});
  EXPECT_EQ(Run({"--async-window", "1"}), 0) << result_.output << result_.errors;
  const auto log = EndedLog();
  ASSERT_EQ(log.associations.size(), 1U);
  EXPECT_EQ(log.associations[0].async_window, 1U);
}

std::size_t Occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

struct WindowIntolerance {
  WindowReaction reaction;
  std::uint16_t granted;
};
class DestinationsWithoutWindows : public SenderTest, public testing::WithParamInterface<WindowIntolerance> {};

// Each instance has only one attempt, so the test fails if one of them uses it up.
TEST_P(DestinationsWithoutWindows, GetEverythingWithoutAWindowAndAreReportedOnce) {
  WriteExampleStudies(data(), 4, 5);
  StartDestination({.async_window = GetParam().granted, .window_reaction = GetParam().reaction});
  EXPECT_EQ(Run({"-t", "2", "--max-attempts", "1"}), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 20U);
  const auto log = EndedLog();
  const auto proposed = [](const AssociationRecord& association) { return association.window_proposed; };
  EXPECT_LE(std::count_if(log.associations.begin(), log.associations.end(), proposed), 2) << "once for each thread";
  EXPECT_FALSE(log.associations.back().window_proposed);
  const std::string text = ReadFile(Files(".log").at(0));
  EXPECT_EQ(Occurrences(text, "--async-window 1"), 1U) << text;
  EXPECT_NE(text.find("Destination 'TEST_SCP:" + std::to_string(port_)), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(All, DestinationsWithoutWindows,
                         testing::Values(WindowIntolerance{WindowReaction::kAbortRequest, 1},
                                         WindowIntolerance{WindowReaction::kDropRequest, 1},
                                         WindowIntolerance{WindowReaction::kDropAfterAccept, 1},
                                         WindowIntolerance{WindowReaction::kDropCommand, 1},
                                         WindowIntolerance{WindowReaction::kDropCommand, 16}));

TEST_F(FailureTable, IgnoredDeviationsAreLoggedOncePerDestination) {
  WriteExampleStudies(data(), 3, 4);
  InstanceRule rule;
  rule.raw_answer = [](std::uint8_t context_id, std::uint16_t message_id) {
    const auto id = static_cast<std::uint8_t>(message_id);
    // A C-STORE response with an Offending Element of two bytes and without a Command Data Set Type.
    std::vector<std::uint8_t> pdu = {4, 0, 0, 0, 0, 46, 0, 0, 0, 42, context_id, 3};
    pdu.insert(pdu.end(), {0, 0, 0, 1, 2, 0, 0, 0, 1, 0x80, 0, 0, 0x20, 1, 2, 0, 0, 0, id, 0});
    pdu.insert(pdu.end(), {0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 1, 9, 2, 0, 0, 0, 0x10, 0});
    return pdu;
  };
  StartDestination({.rules = {rule}});
  EXPECT_EQ(Run({"-t", "3"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 12U);
  EXPECT_EQ(EndedLog().associations.size(), 3U);
  const std::string text = ReadFile(Files(".log").at(0));
  EXPECT_EQ(Occurrences(text, "an Offending Element"), 1U) << text;
  EXPECT_EQ(Occurrences(text, "without a data set type"), 1U) << text;
}

TEST_F(FailureTable, WarningsAreStoredAndReported) {
  const auto instances = WriteExampleStudies(data(), 1, 5);
  StartDestination({.rules = {Rule(instances[0], 0xB000), Rule(instances[1], 0x0001), Rule(instances[2], 0x0107),
                              Rule(instances[3], 0x0116)}});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 5U);
  EXPECT_EQ(Number(summary, "warnings"), 4U);
}

TEST_F(FailureTable, TransientStatusesAreRetriedAndTheFinalAnswerCounts) {
  const auto instances = WriteExampleStudies(data(), 1, 4);
  StartDestination({.rules = {Rule(instances[0], 0xA700, 1), Rule(instances[1], 0x0213, 1),
                              Rule(instances[2], 0x0110, 1), Rule(instances[3], 0x0110)}});
  EXPECT_EQ(Run({"--max-attempts", "2"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 3U);
  EXPECT_EQ(Number(summary, "retries"), 4U);
  EXPECT_EQ(Number(summary, "associations"), 2U);
  EXPECT_NE(FailureOf(summary, instances[3].sop_instance_uid).find("0110"), std::string::npos);
  EXPECT_EQ(destination_.Log().instances.size(), 8U);
}

TEST_F(FailureTable, FinalStatusesFailAtOnceAndTheStudyContinues) {
  const auto instances = WriteExampleStudies(data(), 1, 6);
  StartDestination({.rules = {Rule(instances[0], 0xA900), Rule(instances[1], 0xC123), Rule(instances[2], 0x0112),
                              Rule(instances[3], 0x0117), Rule(instances[4], 0x0122)}});
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 1U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 5U);
  EXPECT_NE(FailureOf(summary, instances[1].sop_instance_uid).find("C123 (cannot understand)"), std::string::npos);
  EXPECT_EQ(destination_.Log().instances.size(), 6U) << "each is sent once";
  EXPECT_EQ(Files("_failures.ndjson").size(), 1U);
  EXPECT_EQ(Files(".db").size(), 1U) << "failed instances can be retried";
}

// Rejects one instance after others were stored; attribution_test.cc has the other cases.
TEST_F(FailureTable, NotAuthorizedFailsTheInstance) {
  WriteExampleStudies(data(), 1, 3);
  StartDestination({.rules = {InstanceRule{.nth = 2, .status = 0x0124}}});
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 2U);
  EXPECT_NE((result_.output + result_.errors).find("0124"), std::string::npos) << result_.output;
}

TEST_F(FailureTable, APermanentRejectionEndsTheSession) {
  WriteExampleStudies(data(), 2, 2);
  StartDestination({.called_ae = "SOMEBODY_ELSE"});
  EXPECT_EQ(Run(), 3);
  EXPECT_NE(result_.errors.find("called AE title not recognized"), std::string::npos) << result_.errors;
  EXPECT_NE(result_.errors.find("TEST_SCP"), std::string::npos) << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary, /*pending=*/4);
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
  EXPECT_EQ(Number(summary, "pending"), 4U);
  EXPECT_EQ(destination_.Log().associations.size(), 4U) << "two studies, and a C-ECHO after each";
}

TEST_F(FailureTable, ATransientRejectionIsRetriedWithoutUsingAttempts) {
  WriteExampleStudies(data(), 1, 2);
  StartDestination({.reject = Rejection{2, 3, 1}, .reject_times = 3});
  EXPECT_EQ(Run({"--max-attempts", "1"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "retries"), 0U);
  EXPECT_EQ(destination_.Log().associations.size(), 5U)
      << "the last rejection was followed by a C-ECHO that is answered";
}

TEST_F(FailureTable, AnAssociationLimitIsRespected) {
  WriteExampleStudies(data(), 6, 20);
  StartDestination({.associations_max = 2, .rules = {InstanceRule{.delay = std::chrono::milliseconds(20)}}});
  EXPECT_EQ(Run({"-t", "4", "--max-attempts", "1"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 120U);
}

TEST_F(FailureTable, ARefusedConnectionIsReportedAtOnceAndRetriedForRetryFor) {
  WriteExampleStudies(data(), 2, 2);
  port_ = FindFreePort();
  EXPECT_EQ(Run({"--retry-for", "2"}), 3) << result_.output << result_.errors;
  for (const std::string word : {"127.0.0.1", "TEST_SCP", "refused", "--resume"}) {
    EXPECT_NE((result_.output + result_.errors).find(word), std::string::npos) << word << result_.errors;
  }
  const auto summary = Summary();
  ExpectCountsAddUp(summary, /*pending=*/4);
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
  EXPECT_EQ(Number(summary, "pending"), 4U);
}

TEST_F(FailureTable, ADestinationThatRecoversIsUsedAgain) {
  WriteExampleStudies(data(), 2, 3);
  StartDestination();
  destination_.Stop();
  ChildProcess sender(Command({"--max-attempts", "1"}));
  ASSERT_TRUE(sender.WaitForText("refused", kRunTimeout)) << sender.Output() << sender.Errors();
  ASSERT_TRUE(destination_.Start());
  const auto end = sender.Wait(kRunTimeout);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 0) << sender.Output() << sender.Errors();
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 6U);
}

TEST_F(FailureTable, AnAssociationLostDuringAnInstanceCostsThatInstanceAnAttempt) {
  for (const auto action :
       {InstanceAction::kAbortInDataset, InstanceAction::kAbortAfterDataset, InstanceAction::kDropInDataset,
        InstanceAction::kDropAfterDataset, InstanceAction::kAnswerGarbage, InstanceAction::kAnswerWrongMessageId}) {
    SCOPED_TRACE(static_cast<int>(action));
    std::filesystem::remove_all(out());
    const auto instances = WriteExampleStudies(data(), 1, 4, 400'000);
    destination_.Stop();
    StartDestination({.rules = {Rule(instances[1], action, 1)}});
    EXPECT_EQ(Run({"--max-attempts", "2"}), 0) << result_.output << result_.errors;
    const auto summary = Summary();
    ExpectCountsAddUp(summary);
    EXPECT_EQ(Number(summary, "successful_transfers"), 4U);
    EXPECT_EQ(Number(summary, "retries"), 1U) << "only the one in flight used an attempt";
  }
}

TEST_F(FailureTable, APoisonInstanceFailsAndTheOthersArrive) {
  const auto instances = WriteExampleStudies(data(), 1, 4);
  StartDestination({.rules = {Rule(instances[2], InstanceAction::kDropAfterDataset)}});
  EXPECT_EQ(Run({"--max-attempts", "2"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 3U);
  EXPECT_NE(FailureOf(summary, instances[2].sop_instance_uid), "");
}

TEST_F(FailureTable, AnUnansweredInstanceThatIsSentAgainCountsAsAResend) {
  WriteExampleStudies(data(), 1, 4);
  InstanceRule rule;
  rule.action = InstanceAction::kDropAfterDataset;
  rule.times_each = 1;
  rule.nth_of_association = 2;
  StartDestination({.rules = {rule}});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  std::map<std::string, std::uint64_t> complete;
  std::uint64_t again = 0;
  for (const auto& instance : destination_.Log().instances) again += complete[instance.sop_instance]++ > 0;
  EXPECT_GT(again, 0U);
  EXPECT_EQ(Number(summary, "resends"), again);
}

TEST_F(FailureTable, ADestinationThatNeverAnswersTimesOut) {
  const auto instances = WriteExampleStudies(data(), 1, 3);
  StartDestination({.rules = {Rule(instances[0], InstanceAction::kStall)}});
  EXPECT_EQ(Run({"--dimse-timeout", "1", "--max-attempts", "1"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  EXPECT_EQ(Number(summary, "successful_transfers"), 2U);
  EXPECT_NE(FailureOf(summary, instances[0].sop_instance_uid), "");
}

TEST_F(FailureTable, ADestinationThatStopsReadingTimesOut) {
  const auto instances = WriteExampleStudies(data(), 1, 2, 30'000'000);
  StartDestination({.receive_buffer_bytes = 262144, .rules = {Rule(instances[0], InstanceAction::kStallReceiving)}});
  EXPECT_EQ(Run({"--idle-timeout", "1", "--max-attempts", "1"}), 1) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 1U);
}

TEST_F(FailureTable, ADestinationThatDoesNotAnswerTheAssociationTimesOut) {
  WriteExampleStudies(data(), 1, 2);
  StartDestination({.stall_association = true});
  EXPECT_EQ(Run({"--acse-timeout", "1", "--retry-for", "2"}), 3) << result_.output << result_.errors;
  EXPECT_NE(result_.errors.find("TEST_SCP"), std::string::npos) << result_.errors;
}

TEST_F(FailureTable, RefusedPresentationContextsFallBackToUncompressed) {
  WriteExampleStudies(data(), 1, 2);
  StartDestination({.transfer_syntaxes = {"1.2.840.10008.1.2"}});  // implicit VR little endian only
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  const auto log = destination_.Log();
  ASSERT_EQ(log.instances.size(), 2U);
  EXPECT_EQ(log.instances[0].transfer_syntax, "1.2.840.10008.1.2");
}

TEST_F(FailureTable, InstancesWithoutAnAcceptedContextFailWithTheReason) {
  const auto instances = WriteExampleStudies(data(), 1, 2);
  StartDestination({.abstract_syntaxes = {"1.2.840.10008.5.1.4.1.1.2"}});  // CT only
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "failed_transfers"), 2U);
  EXPECT_NE(FailureOf(summary, instances[0].sop_instance_uid).find("abstract syntax"), std::string::npos)
      << FailureOf(summary, instances[0].sop_instance_uid);
}

TEST_F(FailureTable, MoreThan128ContextsTakeFurtherAssociations) {
  for (int i = 1; i <= 150; ++i) {
    ExampleInstance instance;
    instance.sop_class_uid = "1.2.826.0.1.3680043.10.1400.99." + std::to_string(i);
    instance.sop_instance_uid += "." + std::to_string(i);
    WriteFile(data() / (std::to_string(i) + ".dcm"), ExampleFile(instance));
  }
  StartDestination();
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  EXPECT_EQ(Number(summary, "successful_transfers"), 150U);
  EXPECT_GT(Number(summary, "associations"), 1U);
  EXPECT_EQ(Number(summary, "associations"), destination_.Log().associations.size());
  for (const auto& association : destination_.Log().associations) EXPECT_LE(association.contexts.size(), 128U);
}

TEST_F(FailureTable, TinyPdusWork) {
  const auto instances = WriteExampleStudies(data(), 1, 2, 100'000);
  StartDestination({.max_pdu_bytes = 256});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  const auto log = destination_.Log();
  ASSERT_EQ(log.instances.size(), 2U);
  EXPECT_EQ(log.instances[0].bytes, ExampleDataset(instances[0]).size());
}

TEST_F(FailureTable, RequestsPerAssociationAreLimited) {
  WriteExampleStudies(data(), 1, 10);
  StartDestination();
  EXPECT_EQ(Run({"--max-requests-per-association", "3"}), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "associations"), 4U);
  for (const auto& association : destination_.Log().associations) EXPECT_LE(association.instances, 3U);
}

TEST_F(FailureTable, UnsendableFilesAreReportedAndNeverSentInPart) {
  const auto instances = WriteExampleStudies(data(), 1, 3);
  const std::string whole = ExampleFile(instances[0]);
  WriteFile(data() / "truncated.dcm", whole.substr(0, whole.size() - 10));
  ExampleInstance nameless;
  nameless.sop_instance_uid = "";
  WriteFile(data() / "nameless.dcm", ExampleFile(nameless));
  WriteFile(data() / "empty.dcm", "");
  WriteFile(data() / "text.txt", "not DICOM at all, only a text that is long enough to be looked at");
  StartDestination();
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "total_files"), 5U);
  EXPECT_EQ(Number(summary, "successful_transfers"), 3U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 2U);
  EXPECT_EQ(Number(summary, "ignored_files"), 2U);
  EXPECT_EQ(destination_.Log().instances.size(), 3U);
}

TEST_F(FailureTable, DuplicatesAreSentOnceAndReported) {
  const auto instances = WriteExampleStudies(data(), 1, 2);
  WriteFile(data() / "copy.dcm", ExampleFile(instances[0]));
  ExampleInstance other = instances[1];
  other.pixel_bytes = 128;
  WriteFile(data() / "z_conflict.dcm", ExampleFile(other));
  StartDestination();
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 2U);
  EXPECT_EQ(Number(summary, "skipped"), 2U);
  EXPECT_EQ(Number(summary, "duplicates"), 1U);
  EXPECT_EQ(Number(summary, "conflicts"), 1U);
}

}  // namespace
}  // namespace dicom_sender
