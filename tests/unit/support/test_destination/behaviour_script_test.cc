#include <gmock/gmock.h>

#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;

TEST(BehaviourScript, ReadsEverySetting) {
  const auto behaviour = ParseBehaviour(
      "# a comment\n\n"
      "reject result=2 source=3 reason=1 times=4\n"
      "called-ae ARCHIVE  # and another\n"
      "stall-association\n"
      "abstract-syntax 1.2.3\nabstract-syntax 1.2.4\n"
      "transfer-syntax 1.2.5\n"
      "max-pdu 4096\nassociations-max 2\nasync-window 16\nreorder-answers\nreceive-buffer 8192\n"
      "window-reaction drop-command\n");
  ASSERT_TRUE(behaviour) << behaviour.error();
  EXPECT_EQ(behaviour->reject->result, 2);
  EXPECT_EQ(behaviour->reject->source, 3);
  EXPECT_EQ(behaviour->reject->reason, 1);
  EXPECT_EQ(behaviour->reject_times, 4U);
  EXPECT_EQ(behaviour->called_ae, "ARCHIVE");
  EXPECT_TRUE(behaviour->stall_association);
  EXPECT_THAT(behaviour->abstract_syntaxes, ElementsAre("1.2.3", "1.2.4"));
  EXPECT_THAT(behaviour->transfer_syntaxes, ElementsAre("1.2.5"));
  EXPECT_EQ(behaviour->max_pdu_bytes, 4096U);
  EXPECT_EQ(behaviour->associations_max, 2U);
  EXPECT_EQ(behaviour->async_window, 16);
  EXPECT_TRUE(behaviour->reorder_answers);
  EXPECT_EQ(behaviour->receive_buffer_bytes, 8192);
  EXPECT_EQ(behaviour->window_reaction, WindowReaction::kDropCommand);
}

TEST(BehaviourScript, ReadsEveryFieldOfARule) {
  const auto behaviour = ParseBehaviour(
      "rule instance=1.2 nth=5 nth-of-association=2 times=3 times-each=1 status=A700 delay=200 comment=disk_full\n"
      "rule action=stall");
  ASSERT_TRUE(behaviour) << behaviour.error();
  ASSERT_EQ(behaviour->rules.size(), 2U);
  const InstanceRule& rule = behaviour->rules[0];
  EXPECT_EQ(rule.sop_instance_uid, "1.2");
  EXPECT_EQ(rule.nth, 5U);
  EXPECT_EQ(rule.nth_of_association, 2U);
  EXPECT_EQ(rule.times, 3U);
  EXPECT_EQ(rule.times_each, 1U);
  EXPECT_EQ(rule.action, InstanceAction::kAnswer);
  EXPECT_EQ(rule.status, 0xA700);
  EXPECT_EQ(rule.delay, std::chrono::milliseconds(200));
  EXPECT_EQ(rule.error_comment, "disk_full");
  EXPECT_EQ(behaviour->rules[1].action, InstanceAction::kStall);
}

TEST(BehaviourScript, AcceptsEveryAction) {
  const std::pair<const char*, InstanceAction> cases[] = {
      {"answer", InstanceAction::kAnswer},
      {"stall", InstanceAction::kStall},
      {"stall-receiving", InstanceAction::kStallReceiving},
      {"abort-in-dataset", InstanceAction::kAbortInDataset},
      {"abort-after-dataset", InstanceAction::kAbortAfterDataset},
      {"drop-in-dataset", InstanceAction::kDropInDataset},
      {"drop-after-dataset", InstanceAction::kDropAfterDataset},
      {"garbage", InstanceAction::kAnswerGarbage},
      {"wrong-message-id", InstanceAction::kAnswerWrongMessageId},
  };
  for (const auto& [name, action] : cases) {
    const auto behaviour = ParseBehaviour(std::string("rule action=") + name);
    ASSERT_TRUE(behaviour) << behaviour.error();
    EXPECT_EQ(behaviour->rules.at(0).action, action) << name;
  }
}

TEST(BehaviourScript, NamesTheError) {
  const std::pair<const char*, const char*> cases[] = {
      {"\nfly", "line 2: 'fly' needs a value"},
      {"fly high", "line 1: unknown word 'fly'"},
      {"reorder-answers yes", "line 1: 'reorder-answers' takes no value"},
      {"max-pdu", "line 1: 'max-pdu' needs a value"},
      {"max-pdu 12x", "line 1: '12x' is no number, or too large"},
      {"max-pdu 63", "max-pdu is neither 0 nor 64 to 1048576"},
      {"max-pdu 1048577", "max-pdu is neither 0 nor 64 to 1048576"},
      {"max-pdu 4096 8192", "line 1: '8192' is too much"},
      {"async-window 65536", "line 1: '65536' is no number, or too large"},
      {"rule nth", "line 1: 'nth' is not key=value"},
      {"rule n=1", "line 1: unknown key 'n'"},
      {"rule status=A7000", "line 1: 'A7000' is no number, or too large"},
      {"rule action=dance", "line 1: unknown action 'dance'"},
      {"reject reason=256", "line 1: '256' is no number, or too large"},
  };
  for (const auto& [text, error] : cases) {
    const auto behaviour = ParseBehaviour(text);
    ASSERT_FALSE(behaviour) << text;
    EXPECT_EQ(behaviour.error(), error);
  }
}

}  // namespace
}  // namespace dicom_sender
