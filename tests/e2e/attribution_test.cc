// Fault attribution to a study, an instance, the storage, or the destination, with the real dicom-sender.
#include <gmock/gmock.h>

#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

constexpr const char* kPrivateClass = "1.3.12.2.1107.5.9.1";

bool Proposes(const AssociationRecord& requested, const std::string& abstract_syntax) {
  return std::ranges::any_of(requested.contexts,
                             [&](const auto& context) { return context.abstract_syntax == abstract_syntax; });
}
// Behaves as DCMTK's dcmrecv with a list of accepted SOP classes.
std::optional<Rejection> RejectsPrivateClass(const AssociationRecord& requested) {
  if (!Proposes(requested, kPrivateClass)) return std::nullopt;
  return Rejection{1, 1, 1};
}

class AttributionTest : public SenderTest {
 protected:
  // Writes study folders, numbered from `first`.
  void WriteStudies(int first, int studies, int instances, const std::string& sop_class) const {
    for (int study = first; study < first + studies; ++study) {
      for (int i = 0; i < instances; ++i) {
        ExampleInstance example;
        example.study_uid = "1.2.826.0.1.3680043.10.1400.9." + std::to_string(study);
        example.sop_instance_uid = example.study_uid + "." + std::to_string(i + 1);
        example.sop_class_uid = sop_class;
        WriteFile(data() / std::to_string(study) / (std::to_string(i) + ".dcm"), ExampleFile(example));
      }
    }
  }
  static constexpr const char* kOrdinary = "1.2.840.10008.5.1.4.1.1.7";
};

TEST_F(AttributionTest, ManyRejectedStudiesDoNotBlockOthers) {
  WriteStudies(1, 12, 3, kPrivateClass);  // larger studies are sent first
  WriteStudies(100, 30, 1, kOrdinary);
  DestinationBehaviour behaviour;
  behaviour.reject_some = RejectsPrivateClass;
  StartDestination(behaviour);
  EXPECT_EQ(Run({"--retry-for", "3", "--max-attempts", "2"}), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 30U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 36U);
  EXPECT_THAT(FailureOf(summary, "1.2.826.0.1.3680043.10.1400.9.1.1"),
              testing::AllOf(testing::HasSubstr("did not take this study's association 3 times"),
                             testing::HasSubstr("no reason given")));
}

TEST_F(AttributionTest, ADestinationThatRejectsEveryStudyFailsNoStudy) {
  WriteStudies(1, 4, 2, kPrivateClass);
  DestinationBehaviour behaviour;
  behaviour.reject_some = RejectsPrivateClass;
  StartDestination(behaviour);
  EXPECT_EQ(Run({"--retry-for", "3"}), 3) << result_.output << result_.errors;
  auto summary = Summary();
  ExpectCountsAddUp(summary, /*pending=*/8);
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
  EXPECT_EQ(Number(summary, "pending"), 8U);
  EXPECT_THAT(summary["end_reason"].GetString(), testing::HasSubstr("no reason given"));
  destination_.SetBehaviour({});
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
}

TEST_F(AttributionTest, NotAuthorizedForOneInstanceFailsThatInstance) {
  const auto instances = WriteExampleStudies(data(), 3, 2);
  InstanceRule denied;
  denied.sop_instance_uid = instances[0].sop_instance_uid;
  denied.status = 0x0124;
  StartDestination({.rules = {denied}});
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  EXPECT_EQ(Number(summary, "successful_transfers"), 5U);
  EXPECT_THAT(FailureOf(summary, instances[0].sop_instance_uid), testing::StartsWith("0124"));
}

TEST_F(AttributionTest, NotAuthorizedForDifferentStudiesEndsTheSession) {
  WriteExampleStudies(data(), 3, 2);
  InstanceRule denied;
  denied.status = 0x0124;
  StartDestination({.rules = {denied}});
  EXPECT_EQ(Run({"--retry-for", "1h"}), 3) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary, /*pending=*/6);
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U)
      << "what was never sent has not failed, nor what may be sent again";
  EXPECT_EQ(Number(summary, "pending"), 6U);
  destination_.SetBehaviour({});
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
}

TEST_F(AttributionTest, AStorageOutageFailsNoInstance) {
  WriteExampleStudies(data(), 20, 5);
  InstanceRule slow;
  slow.delay = std::chrono::milliseconds(10);
  StartDestination({.rules = {slow}});
  ChildProcess sender(Command({"-v", "-t", "4", "--async-window", "1"}));
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() >= 4; }, kRunTimeout));
  std::filesystem::rename(data(), folder_ / "elsewhere");
  EXPECT_TRUE(sender.WaitForText("is its storage mounted?", kRunTimeout)) << sender.Errors();
  std::filesystem::rename(folder_ / "elsewhere", data());
  const auto end = sender.Wait(kRunTimeout);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 0) << sender.Output() << sender.Errors();
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 100U);
}

TEST_F(AttributionTest, AStorageOutageLongerThanRetryForFailsTheRest) {
  WriteExampleStudies(data(), 3, 2);
  InstanceRule slow;
  slow.delay = std::chrono::milliseconds(300);
  StartDestination({.rules = {slow}});
  ChildProcess sender(Command({"-v", "--async-window", "1", "--retry-for", "2"}));
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() >= 1; }, kRunTimeout));
  std::filesystem::rename(data(), folder_ / "elsewhere");
  const auto end = sender.Wait(kRunTimeout);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 1) << sender.Output() << sender.Errors();
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_GE(Number(summary, "successful_transfers"), 1U);
  EXPECT_GE(Number(summary, "failed_transfers"), 3U);
  EXPECT_THAT(summary["failures"][0]["reason"].GetString(), testing::HasSubstr("is its storage mounted?"));
}

TEST_F(AttributionTest, AMissingFileFailsAloneAndAtOnce) {
  const auto instances = WriteExampleStudies(data(), 2, 3);
  InstanceRule slow;
  slow.delay = std::chrono::milliseconds(200);
  StartDestination({.rules = {slow}});
  ChildProcess sender(Command({"--async-window", "1", "--retry-for", "1h"}));
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() >= 1; }, kRunTimeout));
  std::filesystem::remove(data() / "study_2/image_3.dcm");
  const auto end = sender.Wait(kRunTimeout);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 1) << sender.Output() << sender.Errors();
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 5U);
  EXPECT_THAT(FailureOf(Summary(), instances[5].sop_instance_uid), testing::HasSubstr("No such file"));
}

}  // namespace
}  // namespace dicom_sender
