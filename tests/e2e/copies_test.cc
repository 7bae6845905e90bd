// Files with the same SOP Instance UID: duplicates, conflicts, and the copy that is sent when the original fails.
#include <gmock/gmock.h>

#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CopiesTest : public SenderTest {
 protected:
  // Files of one instance, in the order in which the scan finds them.
  void Write(const std::string& name, const ExampleInstance& instance) {
    WriteFile(data() / name, ExampleFile(instance));
  }
  static ExampleInstance OtherPixels() {
    ExampleInstance instance;
    instance.patient_id = "1";  // has the same length
    return instance;
  }
  // Reads the first attempt only.
  static InstanceRule RefuseFirst() {
    InstanceRule rule;
    rule.sop_instance_uid = ExampleInstance().sop_instance_uid;
    rule.status = 0xA900;
    rule.times = 1;
    return rule;
  }
  std::string Log() const { return ReadFile(Files(".log").at(0)); }
  std::string Failures() const {
    const auto files = Files("_failures.ndjson");
    return files.empty() ? "" : ReadFile(files.at(0));
  }
};

TEST_F(CopiesTest, EqualDatasetsAreDuplicatesEvenIfTheirHeadersDiffer) {
  Write("a.dcm", {});
  WriteFile(data() / "b.dcm", ExampleFile({}));
  WriteFile(data() / "c.dcm", ExampleDataset({}));  // has no preamble and no meta header
  StartDestination();
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "duplicates"), 2U);
  EXPECT_EQ(Number(Summary(), "conflicts"), 0U);
  EXPECT_EQ(Failures(), "");
  EXPECT_THAT(result_.output, AllOf(HasSubstr("Complete"), Not(HasSubstr("onflict"))));
}

TEST_F(CopiesTest, ACopyOfTheSameSizeWithDifferentContentIsAConflict) {
  Write("a.dcm", {});
  Write("b.dcm", OtherPixels());
  StartDestination();
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 1U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
  EXPECT_EQ(Number(summary, "skipped"), 1U);
  EXPECT_EQ(Number(summary, "duplicates"), 0U);
  EXPECT_EQ(Number(summary, "conflicts"), 1U);
  EXPECT_THAT(result_.output, AllOf(HasSubstr("1 conflict"), HasSubstr("Conflicts"), Not(HasSubstr("Complete"))));
  for (const std::string& text : {Log(), Failures()}) {
    EXPECT_THAT(text, AllOf(HasSubstr("/a.dcm"), HasSubstr("/b.dcm"), HasSubstr("(0010,0020) differs")));
  }
  EXPECT_THAT(Failures(), HasSubstr("\"kind\":\"conflict\""));
}

TEST_F(CopiesTest, ACopyInAnotherStudyIsAConflict) {
  Write("a.dcm", {});
  ExampleInstance other;
  other.study_uid = "1.2.826.0.1.3680043.10.1400.2";
  Write("b.dcm", other);
  StartDestination();
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "conflicts"), 1U);
  EXPECT_THAT(Failures(), AllOf(HasSubstr("Study Instance UID '" + other.study_uid + "'"), HasSubstr("/a.dcm")));
}

TEST_F(CopiesTest, ADuplicateIsSentIfTheFirstFileIsRefused) {
  Write("a.dcm", {});
  Write("b.dcm", {});
  StartDestination({.rules = {RefuseFirst()}});
  EXPECT_EQ(Run(), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 1U);
  EXPECT_EQ(Number(summary, "skipped"), 1U);
  ASSERT_EQ(summary["skipped_files"].Size(), 1U);
  EXPECT_THAT(summary["skipped_files"][0]["path"].GetString(), HasSubstr("/a.dcm"));
  EXPECT_THAT(summary["skipped_files"][0]["reason"].GetString(),
              AllOf(HasSubstr("/b.dcm"), HasSubstr("sent instead"), HasSubstr("A900")));
  EXPECT_THAT(Log(), HasSubstr("is sent instead"));
}

TEST_F(CopiesTest, AConflictThatIsSentInsteadIsStillReported) {
  ExampleInstance unsendable = OtherPixels();
  unsendable.sop_class_uid = "1.3.6.1.4.1.9590.100.1.0.100.4.0";  // a private SOP class
  Write("a.dcm", unsendable);
  Write("b.dcm", {});
  StartDestination({.abstract_syntaxes = {ExampleInstance().sop_class_uid}});
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 1U);
  EXPECT_EQ(Number(summary, "conflicts"), 1U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
  EXPECT_EQ(destination_.Log().instances.size(), 1U);
  EXPECT_THAT(Failures(), AllOf(HasSubstr("/a.dcm"), HasSubstr("/b.dcm"), HasSubstr("sent instead")));
}

TEST_F(CopiesTest, ACopyInAnotherStudyIsSentThere) {
  Write("a.dcm", {});
  ExampleInstance other;
  other.study_uid = "1.2.826.0.1.3680043.10.1400.2";
  Write("b.dcm", other);
  StartDestination({.rules = {RefuseFirst()}});
  EXPECT_EQ(Run({"-t", "2"}), 1) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 1U);
  EXPECT_EQ(Number(Summary(), "conflicts"), 1U);
}

TEST_F(CopiesTest, TheInstanceFailsWhenAllOfItsFilesHaveFailed) {
  for (const char* name : {"a.dcm", "b.dcm", "c.dcm"}) Write(name, {});
  InstanceRule rule = RefuseFirst();
  rule.times = 0;
  StartDestination({.rules = {rule}});
  EXPECT_EQ(Run(), 1) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "failed_transfers"), 1U);
  EXPECT_EQ(Number(summary, "skipped"), 2U);
  EXPECT_THAT(Failures(), AllOf(HasSubstr("/c.dcm"), Not(HasSubstr("\"kind\":\"conflict\""))));
}

}  // namespace
}  // namespace dicom_sender
