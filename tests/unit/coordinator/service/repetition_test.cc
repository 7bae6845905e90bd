// Every message may be repeated, and the repetition changes nothing.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/coordinator/service/conversation.h"

namespace dicom_sender {
namespace {

TEST(RepetitionTest, AMessageRepeatedAtOnceChangesNothing) {
  const LedgerFile file;
  ServiceOnFile service(file);
  for (const Message& message : WholeConversation()) {
    service.Say(message);
    const std::string dump = file.Dump();
    service.Say(message);
    EXPECT_TRUE(file.Dump() == dump) << message.name;
  }
}

// Except for WorkerStatus: after a restart, a worker that does not list a lease loses it.
TEST(RepetitionTest, AMessageRepeatedAfterARestartChangesNothing) {
  const LedgerFile file;
  ServiceOnFile service(file);
  for (const Message& message : WholeConversation()) {
    service.Say(message);
    if (message.name.starts_with("WorkerStatus")) continue;
    const LedgerFile as_by_a_crash;
    as_by_a_crash.BecomeCopyOf(file);
    ServiceOnFile restarted(as_by_a_crash);
    const std::string dump = as_by_a_crash.Dump();
    restarted.Say(message);
    EXPECT_TRUE(as_by_a_crash.Dump() == dump) << message.name;
  }
}

// Except for an operator's requests and a resume, which refer to the state at the time they arrive.
TEST(RepetitionTest, AMessageRepeatedAtTheEndChangesNothing) {
  const LedgerFile file;
  ServiceOnFile service(file);
  const auto conversation = WholeConversation();
  for (const Message& message : conversation) service.Say(message);
  const std::string dump = file.Dump();
  const std::set<std::string> of_now = {"SuspendSession", "CancelSession", "RequeueInstances",
                                        "OpenSession, which resumes"};
  for (const Message& message : conversation) {
    if (of_now.contains(message.name)) continue;
    service.Say(message);
    EXPECT_TRUE(file.Dump() == dump) << message.name;
  }
}

}  // namespace
}  // namespace dicom_sender
