// Fills the disk at every point of a conversation: every answered message is in the ledger, and none is there in
// part.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/support/file_size_limit.h"
#include "tests/unit/coordinator/service/conversation.h"

namespace dicom_sender {
namespace {

// The ledger after 0, 1, ... messages of the conversation with enough disk space.
struct Reference {
  std::vector<std::string> dumps;
  std::vector<std::uint64_t> log_bytes;
};

Reference Converse(const std::vector<Message>& conversation) {
  const LedgerFile file;
  ServiceOnFile service(file);
  Reference reference{{file.Dump()}, {file.LogBytes().size()}};
  for (const Message& message : conversation) {
    service.Say(message);
    reference.dumps.push_back(file.Dump());
    reference.log_bytes.push_back(file.LogBytes().size());
  }
  return reference;
}

// Returns how many messages were answered before a file would have grown beyond `room`.
std::size_t SayUntilFull(const LedgerFile& file, const std::vector<Message>& conversation, std::uint64_t room) {
  const FileSizeLimit limit(room);
  std::size_t answered = 0;
  try {
    ServiceOnFile service(file);
    for (const Message& message : conversation) {
      service.Say(message);
      ++answered;
    }
  } catch (const LedgerError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("ledger '" + file.path() + "'"));
    EXPECT_THAT(error.what(), testing::HasSubstr("start again"));
  }
  return answered;
}

class DiskFullTest : public testing::Test {
 protected:
  // The message after the first `answered` ones is the first that does not fit.
  void ExpectNothingIsLost(std::size_t answered, std::uint64_t room) {
    SCOPED_TRACE(conversation_[answered].name + ", room for bytes: " + std::to_string(room));
    const LedgerFile file;
    ASSERT_EQ(SayUntilFull(file, conversation_, room), answered);
    const std::string dump = file.Dump();
    // The failed message may be in the ledger, but only completely.
    EXPECT_TRUE(dump == reference_.dumps[answered] || dump == reference_.dumps[answered + 1]);
    ServiceOnFile again(file);
    EXPECT_TRUE(file.Dump() == dump) << "it can be opened";
  }

  const std::vector<Message> conversation_ = WholeConversation();
  const Reference reference_ = Converse(conversation_);
};

TEST_F(DiskFullTest, EveryAnsweredMessageIsInTheLedgerAsAWhole) {
  std::size_t changing = 0;
  for (std::size_t i = 0; i < conversation_.size(); ++i) {
    const std::uint64_t begin = reference_.log_bytes[i], end = reference_.log_bytes[i + 1];
    if (begin == end) continue;
    ++changing;
    for (const std::uint64_t room : {(begin + end) / 2, end - 1}) ExpectNothingIsLost(i, room);
  }
  EXPECT_GT(changing, 20U) << "the conversation must change the ledger";
}

// Before the first answer, the ledger is either created completely or not at all.
TEST_F(DiskFullTest, AFailedCreationOfALedgerCanBeRetried) {
  for (std::uint64_t room = 0; room < reference_.log_bytes[0]; room += 10'000) {
    SCOPED_TRACE(room);
    const LedgerFile file;
    ASSERT_EQ(SayUntilFull(file, conversation_, room), 0U);
    ServiceOnFile again(file);
    EXPECT_TRUE(file.Dump() == reference_.dumps[0]);
  }
}

}  // namespace
}  // namespace dicom_sender
