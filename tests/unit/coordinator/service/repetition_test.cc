// Every message may come again, and then changes nothing.
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

// But for a WorkerStatus: a worker that does not list a lease of the last coordinator's time does not have it.
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

// But for an operator's requests and a resume: they mean what is when they come.
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
