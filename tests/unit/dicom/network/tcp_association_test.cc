#include "dicom/network/tcp_association.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "common/unique_fd.h"
#include "common/wake_event.h"
#include "dicom/network/dimse.h"
#include "tests/support/process.h"
#include "tests/support/silent_name_server.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kCtImage = "1.2.840.10008.5.1.4.1.1.2";
constexpr const char* kExplicitLittle = "1.2.840.10008.1.2.1";
constexpr const char* kImplicitLittle = "1.2.840.10008.1.2";

DestinationOptions HashDatasets() {
  DestinationOptions options;
  options.hash_datasets = true;
  return options;
}

AssociationRequest RequestTo(std::uint16_t port) {
  AssociationRequest request;
  request.host = "127.0.0.1";
  request.port = port;
  request.called_ae = "ARCHIVE";
  request.calling_ae = "RUST_SCU";
  request.contexts = {{1, kCtImage, {kExplicitLittle, kImplicitLittle}},
                      {3, std::string("1.2.840.10008.1.1"), {kImplicitLittle}}};
  request.timeouts = {seconds(5), seconds(5), seconds(5), seconds(5)};
  return request;
}

class TcpAssociationTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { std::signal(SIGPIPE, SIG_IGN); }  // the same as in main

  void Start(DestinationBehaviour behaviour = {}) {
    destination_.SetBehaviour(std::move(behaviour));
    const auto started = destination_.Start();
    ASSERT_TRUE(started) << started.error();
    request_ = RequestTo(destination_.port());
  }
  static DestinationBehaviour With(InstanceRule rule) {
    DestinationBehaviour behaviour;
    behaviour.rules.push_back(std::move(rule));
    return behaviour;
  }
  void StartWithWindow(std::uint16_t window, DestinationBehaviour behaviour = {}) {
    behaviour.async_window = window;
    Start(std::move(behaviour));
    request_.async_window = window;
  }
  void StartWithRule(InstanceAction action, int receive_buffer_bytes = 0) {
    DestinationBehaviour behaviour = With({.action = action});
    behaviour.receive_buffer_bytes = receive_buffer_bytes;
    Start(behaviour);
  }

  auto Request() {
    return RequestAssociation(request_, progress_, &cancel_,
                              [this](const std::string& remark) { ignored_.push_back(remark); });
  }
  std::unique_ptr<Association> Associate() {
    auto association = Request();
    EXPECT_TRUE(association) << association.error().reason;
    return association ? std::move(*association) : nullptr;
  }

  // A file with `size` bytes of dataset after an offset that must not be sent.
  StoreRequest MakeInstance(std::uint64_t size, std::uint64_t offset = 300) {
    const std::string path = (folder_ / "instance").string();
    content_.resize(offset + size);
    for (std::size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<char>(i * 31 + i / 256);
    std::ofstream(path, std::ios::binary) << content_;
    file_ = UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    return {1, kCtImage, "1.2.3.4", {.fd = file_.get(), .offset_bytes = offset, .size_bytes = size}};
  }
  std::string Dataset(std::uint64_t offset = 300) const { return content_.substr(offset); }

  // Sends one instance and waits for its response.
  tl::expected<StoreResponse, StoreFailure> Store(Association& association, const StoreRequest& instance) {
    const auto id = association.Send(instance);
    sent_ = id.has_value();
    if (!id) return tl::unexpected(id.error());
    auto response = association.Receive();
    if (response) {
      EXPECT_EQ(response->message_id, *id);
    }
    return response;
  }

  TemporaryFolder folder_;
  bool sent_ = false;  // the last instance was sent completely
  TestDestination destination_{HashDatasets()};
  WakeEvent cancel_;
  SendingProgress progress_;
  AssociationRequest request_;
  std::vector<std::string> ignored_;
  std::string content_;
  UniqueFd file_;
};

TEST_F(TcpAssociationTest, StoresByteForByteInAllSizes) {
  for (const std::uint32_t max_pdu : {64U, 4096U, 16384U, 131072U, 1048576U, 0U}) {
    DestinationBehaviour behaviour;
    behaviour.max_pdu_bytes = max_pdu;
    destination_.Stop();
    StartWithWindow(max_pdu == 64 || max_pdu == 131072 ? 4 : 1, behaviour);
    auto association = Associate();
    ASSERT_TRUE(association);
    EXPECT_EQ(association->peer_max_pdu_bytes(), max_pdu);
    for (const std::uint64_t size : {1U, 2U, 57U, 58U, 59U, 8191U, 131065U, 131066U, 131067U, 1'000'001U}) {
      const StoreRequest instance = MakeInstance(size);
      progress_.bytes_sent = 0;
      const auto stored = Store(*association, instance);
      ASSERT_TRUE(stored) << stored.error().reason;
      EXPECT_EQ(stored->status, 0);
      EXPECT_EQ(progress_.bytes_sent, size);
      const InstanceRecord record = destination_.Log().instances.back();
      EXPECT_EQ(record.bytes, size);
      EXPECT_EQ(record.fnv1a_hash, Fnv1a(Dataset())) << max_pdu << " " << size;
      EXPECT_EQ(record.sop_instance, "1.2.3.4");
    }
    association->Release();
  }
  EXPECT_TRUE(destination_.WaitFor([](const auto& log) { return log.open_associations == 0; }, seconds(5)));
  for (const auto& association : destination_.Log().associations) {
    EXPECT_EQ(association.end, AssociationEnd::kReleased) << association.problem;
  }
}

TEST_F(TcpAssociationTest, PadsAnOddDatasetOnRequest) {
  for (const std::uint16_t window : {std::uint16_t{1}, std::uint16_t{4}}) {
    destination_.Stop();
    StartWithWindow(window);
    auto association = Associate();
    for (const std::uint64_t size : {1U, 4303U, 262'145U, 1000U}) {
      StoreRequest instance = MakeInstance(size);
      instance.dataset.pad_to_even = true;
      ASSERT_TRUE(Store(*association, instance));
      const auto log = destination_.Log();
      EXPECT_EQ(log.instances.back().bytes, size + size % 2);
      EXPECT_EQ(log.instances.back().fnv1a_hash, Fnv1a(Dataset() + std::string(size % 2, '\0')));
    }
  }
}

TEST_F(TcpAssociationTest, SmallAndLargeInstancesOfAWindowKeepTheirOrder) {
  StartWithWindow(16);
  auto association = Associate();
  std::vector<std::uint64_t> hashes;
  for (const std::uint64_t size : {100U, 30'000U, 32'768U, 200'000U, 200U, 32'769U, 300U}) {
    ASSERT_TRUE(association->Send(MakeInstance(size)));
    hashes.push_back(Fnv1a(Dataset()));
  }
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    ASSERT_TRUE(association->Receive());
    EXPECT_EQ(destination_.Log().instances[i].fnv1a_hash, hashes[i]) << i;
  }
  association->Release();
}

TEST_F(TcpAssociationTest, ReturnsStatusAndComment) {
  DestinationBehaviour behaviour;
  behaviour.rules.push_back({});
  behaviour.rules[0].status = 0xA700;
  behaviour.rules[0].error_comment = "disk full";
  behaviour.rules[0].times = 1;
  Start(behaviour);
  auto association = Associate();
  ASSERT_TRUE(association);
  const auto refused = Store(*association, MakeInstance(100));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 0xA700);
  EXPECT_EQ(refused->error_comment, "disk full");
  EXPECT_EQ(Store(*association, MakeInstance(100))->status, 0);
}

TEST_F(TcpAssociationTest, EchoesAndReportsEveryContext) {
  DestinationBehaviour behaviour;
  behaviour.transfer_syntaxes = {kImplicitLittle};
  Start(behaviour);
  request_.contexts.push_back({5, kCtImage, {kExplicitLittle}});
  auto association = Associate();
  ASSERT_TRUE(association);
  ASSERT_EQ(association->contexts().size(), 3U);
  EXPECT_EQ(association->contexts()[0].transfer_syntax, kImplicitLittle);
  EXPECT_NE(association->contexts()[2].result, ContextResult::kAccepted);
  EXPECT_EQ(association->Echo(3), 0);
  StoreRequest instance = MakeInstance(10);
  instance.context_id = 5;
  const auto stored = Store(*association, instance);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().kind, StoreFailureKind::kInvalidRequest);
  EXPECT_TRUE(stored.error().association_usable);
}

TEST_F(TcpAssociationTest, DistinguishesRejections) {
  DestinationBehaviour behaviour;
  behaviour.reject = Rejection{1, 1, 7};
  Start(behaviour);
  auto rejected = Request();
  ASSERT_FALSE(rejected);
  EXPECT_EQ(rejected.error().kind, AssociationFailureKind::kRejectedPermanent);
  EXPECT_TRUE(rejected.error().permanent);
  EXPECT_EQ(rejected.error().reason, "rejected: called AE title not recognized (permanent, by the service user)");
  behaviour.reject = Rejection{2, 3, 2};
  destination_.SetBehaviour(behaviour);
  rejected = Request();
  ASSERT_FALSE(rejected);
  EXPECT_EQ(rejected.error().kind, AssociationFailureKind::kRejectedTransient);
  EXPECT_FALSE(rejected.error().permanent);
}

TEST_F(TcpAssociationTest, FailsToConnectWithTheReason) {
  request_ = RequestTo(FindFreePort());
  EXPECT_EQ(Request().error().kind, AssociationFailureKind::kRefused);
  request_.host = "no-such-host.invalid";
  EXPECT_EQ(Request().error().kind, AssociationFailureKind::kResolve);
  request_.called_ae = "SEVENTEEN_LETTERS";
  EXPECT_EQ(Request().error().kind, AssociationFailureKind::kInvalidRequest);
}

TEST_F(TcpAssociationTest, TimesOutWithoutAnAnswerToTheRequest) {
  DestinationBehaviour behaviour;
  behaviour.stall_association = true;
  Start(behaviour);
  request_.timeouts.acse = milliseconds(50);
  EXPECT_EQ(Request().error().kind, AssociationFailureKind::kTimedOut);
}

struct Ending {
  InstanceAction action;
  StoreFailureKind kind;
  bool sent;
  const char* reason;
};

class EndingTest : public TcpAssociationTest, public ::testing::WithParamInterface<Ending> {};

// 32 MB do not fit into the buffers of both sides, so the writer is blocked when the destination fails.
TEST_P(EndingTest, EndsTheAssociationAndReportsWhy) {
  const Ending& expected = GetParam();
  StartWithRule(expected.action, 65536);
  request_.timeouts.dimse = request_.timeouts.idle = milliseconds(300);
  auto association = Associate();
  ASSERT_TRUE(association);
  const auto stored = Store(*association, MakeInstance(32'000'000));
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().kind, expected.kind) << stored.error().reason;
  EXPECT_EQ(sent_, expected.sent);
  EXPECT_THAT(stored.error().reason, HasSubstr(expected.reason));
  EXPECT_FALSE(stored.error().association_usable);
  EXPECT_TRUE(stored.error().instance_touched);
  const auto again = Store(*association, MakeInstance(10));
  ASSERT_FALSE(again);
  EXPECT_FALSE(again.error().instance_touched);
}

INSTANTIATE_TEST_SUITE_P(
    All, EndingTest,
    ::testing::Values(
        Ending{InstanceAction::kStall, StoreFailureKind::kTimedOut, true, "waiting for the destination's answer"},
        Ending{InstanceAction::kStallReceiving, StoreFailureKind::kTimedOut, false, "takes no more data"},
        Ending{InstanceAction::kAbortInDataset, StoreFailureKind::kAborted, false, "aborted by the destination"},
        Ending{InstanceAction::kAbortAfterDataset, StoreFailureKind::kAborted, true, "aborted by the destination"},
        Ending{InstanceAction::kDropInDataset, StoreFailureKind::kConnectionLost, false, "connection"},
        Ending{InstanceAction::kDropAfterDataset, StoreFailureKind::kConnectionLost, true, "connection"},
        Ending{InstanceAction::kAnswerGarbage, StoreFailureKind::kProtocolError, true, "protocol error"},
        Ending{InstanceAction::kAnswerWrongMessageId, StoreFailureKind::kProtocolError, true, "message"}));

TEST_F(TcpAssociationTest, AShortenedFileDoesNotEndTheAssociation) {
  Start();
  auto association = Associate();
  ASSERT_TRUE(association);
  StoreRequest instance = MakeInstance(1000);
  instance.dataset.size_bytes = 1001;
  const auto stored = Store(*association, instance);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().kind, StoreFailureKind::kFileChanged);
  EXPECT_TRUE(stored.error().association_usable);
  EXPECT_FALSE(stored.error().instance_touched);
  EXPECT_TRUE(Store(*association, MakeInstance(1000)));
}

TEST_F(TcpAssociationTest, AShortenedFileDoesNotEndTheWindow) {
  StartWithWindow(4);
  auto association = Associate();
  const auto first = association->Send(MakeInstance(1000));
  for (const std::uint64_t size : {1000U, 100'000U}) {
    StoreRequest instance = MakeInstance(size);
    instance.dataset.size_bytes = size + 1;
    const auto sent = association->Send(instance);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().kind, StoreFailureKind::kFileChanged);
    EXPECT_TRUE(sent.error().association_usable);
    EXPECT_FALSE(sent.error().instance_touched);
  }
  const auto last = association->Send(MakeInstance(2000));
  EXPECT_EQ(association->Receive()->message_id, *first);
  EXPECT_EQ(association->Receive()->message_id, *last);
  EXPECT_EQ(destination_.Log().instances.size(), 2U);
}

TEST_F(TcpAssociationTest, TheWindowIsNegotiated) {
  for (const auto& [asked, granted, window] : std::initializer_list<std::array<std::uint16_t, 3>>{
           {16, 1, 1}, {16, 8, 8}, {8, 16, 8}, {16, 0, 16}, {1, 16, 1}}) {
    DestinationBehaviour behaviour;
    behaviour.async_window = granted;
    destination_.Stop();
    Start(behaviour);
    request_.async_window = asked;
    const auto association = Associate();
    ASSERT_TRUE(association);
    EXPECT_EQ(association->window(), window) << asked << " " << granted;
  }
  request_.async_window = kAsyncWindowMax + 1;
  EXPECT_EQ(Request().error().kind, AssociationFailureKind::kInvalidRequest);
}

TEST_F(TcpAssociationTest, ResponsesMayComeInAnyOrder) {
  DestinationBehaviour behaviour = With({.nth = 2, .status = 0xA700});
  behaviour.reorder_answers = true;
  StartWithWindow(4, behaviour);
  auto association = Associate();
  ASSERT_TRUE(association);
  std::vector<std::uint16_t> sent, answered;
  for (int i = 0; i < 4; ++i) sent.push_back(association->Send(MakeInstance(1000)).value());
  for (int i = 0; i < 4; ++i) {
    const auto response = association->Receive();
    ASSERT_TRUE(response) << response.error().reason;
    answered.push_back(response->message_id);
    EXPECT_EQ(response->status, response->message_id == sent[1] ? 0xA700 : 0) << response->message_id;
  }
  EXPECT_THAT(answered, ::testing::ElementsAre(sent[3], sent[2], sent[1], sent[0]));
  EXPECT_EQ(destination_.Log().instances.size(), 4U);
  association->Release();
}

TEST_F(TcpAssociationTest, OutstandingRequestsStayUnansweredAfterALoss) {
  StartWithWindow(4, With({.nth = 3, .action = InstanceAction::kAbortAfterDataset}));
  auto association = Associate();
  ASSERT_TRUE(association);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(association->Send(MakeInstance(1000)));
  std::size_t answered = 0;
  auto response = association->Receive();
  for (; response; response = association->Receive()) ++answered;
  EXPECT_LE(answered, 2U);
  EXPECT_EQ(response.error().kind, StoreFailureKind::kAborted) << response.error().reason;
  EXPECT_FALSE(response.error().association_usable);
}

// The response to an unanswered request must not be matched with a later request with the same id.
TEST_F(TcpAssociationTest, AnOutstandingMessageIdIsNotReused) {
  StartWithWindow(4, With({.nth = 1, .action = InstanceAction::kStall}));
  auto association = Associate();
  ASSERT_TRUE(association);
  const StoreRequest instance = MakeInstance(2);
  const auto stalled = association->Send(instance);
  for (int i = 0; i < 65'540; ++i) {
    const auto sent = association->Send(instance);
    ASSERT_TRUE(sent);
    ASSERT_NE(*sent, *stalled) << i;
    const auto response = association->Receive();
    ASSERT_TRUE(response) << response.error().reason;
    ASSERT_EQ(response->message_id, *sent);
  }
}

// The request is still in the buffer, and its id is easy to guess.
TEST_F(TcpAssociationTest, AResponseToAnUnsentRequestIsRefused) {
  DestinationBehaviour behaviour = With({.nth = 1, .action = InstanceAction::kStall});
  behaviour.rules.push_back({.nth = 2, .action = InstanceAction::kAnswerNextToo});
  StartWithWindow(4, behaviour);
  auto association = Associate();
  ASSERT_TRUE(association);
  const StoreRequest instance = MakeInstance(1000);
  ASSERT_TRUE(association->Send(instance));
  const auto second = association->Send(instance);
  const auto answered = association->Receive();
  ASSERT_TRUE(answered);
  EXPECT_EQ(answered->message_id, *second);
  ASSERT_EQ(association->Send(instance), *second + 1);
  const auto guessed = association->Receive();
  ASSERT_FALSE(guessed);
  EXPECT_EQ(guessed.error().kind, StoreFailureKind::kProtocolError);
}

TEST_F(TcpAssociationTest, AnUnansweredRequestTimesOutEvenIfOthersAreAnswered) {
  StartWithWindow(2, With({.nth = 1, .action = InstanceAction::kStall}));
  request_.timeouts.dimse = milliseconds(100);
  auto association = Associate();
  ASSERT_TRUE(association);
  const StoreRequest instance = MakeInstance(2);
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(association->Send(instance));
  tl::expected<StoreResponse, StoreFailure> response;
  do {
    const auto sent = association->Send(instance);
    // The association may have ended by the time the last response is returned.
    EXPECT_TRUE(sent || sent.error().kind == StoreFailureKind::kTimedOut);
    response = association->Receive();
  } while (response && std::chrono::steady_clock::now() < begin + seconds(20));
  ASSERT_FALSE(response) << "it would continue forever";
  EXPECT_EQ(response.error().kind, StoreFailureKind::kTimedOut);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 2 * milliseconds(100))
      << "the limit also covers the other request";
}

// A destination may stop reading while it processes a window.
TEST_F(TcpAssociationTest, AFullSocketHasTheTimeOutOfAnOutstandingResponse) {
  StartWithWindow(2, With({.nth = 2, .action = InstanceAction::kStallReceiving}));
  request_.timeouts.idle = milliseconds(50);
  request_.timeouts.dimse = milliseconds(400);
  auto association = Associate();
  ASSERT_TRUE(association);
  ASSERT_TRUE(association->Send(MakeInstance(2)));
  const auto begin = std::chrono::steady_clock::now();
  const auto blocked = association->Send(MakeInstance(32'000'000));  // does not fit into the buffers of both sides
  ASSERT_FALSE(blocked);
  EXPECT_EQ(blocked.error().kind, StoreFailureKind::kTimedOut);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(400));
}

// The association is lost while the third instance is being sent; the first two were answered.
TEST_F(TcpAssociationTest, ReceivedResponsesAreDeliveredAfterTheAssociationEnds) {
  StartWithWindow(4, With({.nth = 3, .action = InstanceAction::kDropInDataset}));
  auto association = Associate();
  ASSERT_TRUE(association);
  const StoreRequest instance = MakeInstance(20'000'000);
  ASSERT_TRUE(association->Send(instance));
  ASSERT_TRUE(association->Send(instance));
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() == 2; }, seconds(5)));
  const auto third = association->Send(instance);
  ASSERT_FALSE(third);
  EXPECT_FALSE(third.error().association_usable);
  EXPECT_TRUE(association->Receive());
  EXPECT_TRUE(association->Receive());
}

TEST_F(TcpAssociationTest, BufferedRequestsCanBeTakenBack) {
  StartWithWindow(8);
  auto association = Associate();
  const auto first = association->Send(MakeInstance(1000));
  association->Flush();
  const auto second = association->Send(MakeInstance(1000));
  EXPECT_THAT(association->Unsend(), ::testing::ElementsAre(*second));
  EXPECT_EQ(association->Receive()->message_id, *first);
  association->Release();
  EXPECT_TRUE(destination_.WaitFor([](const auto& log) { return log.open_associations == 0; }, seconds(5)));
  EXPECT_EQ(destination_.Log().instances.size(), 1U);
  EXPECT_EQ(destination_.Log().associations[0].end, AssociationEnd::kReleased);
}

// With short PDUs, the file is read in parts while the destination receives them.
TEST_F(TcpAssociationTest, AFileThatShrinksWhileItIsSentEndsTheAssociation) {
  for (const std::uint32_t max_pdu : {16384U, 131072U}) {
    DestinationBehaviour behaviour;
    behaviour.max_pdu_bytes = max_pdu;
    destination_.Stop();
    Start(behaviour);
    auto association = Associate();
    const StoreRequest instance = MakeInstance(60'000'000);
    progress_.bytes_sent = 0;
    std::jthread shrink([this] {
      while (progress_.bytes_sent == 0) std::this_thread::yield();
      ASSERT_EQ(ftruncate(file_.get(), 1'000), 0);
    });
    const auto stored = Store(*association, instance);
    shrink.join();
    ASSERT_FALSE(stored) << max_pdu;
    EXPECT_EQ(stored.error().kind, StoreFailureKind::kFileChanged);
    EXPECT_TRUE(stored.error().instance_touched);
    EXPECT_FALSE(stored.error().association_usable);
    EXPECT_TRUE(destination_.WaitFor([](const auto& log) { return log.open_associations == 0; }, seconds(5)));
    EXPECT_EQ(destination_.Log().complete_instances, 0U) << "it is neither padded nor complete";
  }
}

TEST_F(TcpAssociationTest, ReportsHowLongItWaitedForTheResponse) {
  DestinationBehaviour behaviour;
  behaviour.rules.push_back({});
  behaviour.rules[0].delay = std::chrono::milliseconds(200);
  Start(behaviour);
  auto association = Associate();
  ASSERT_TRUE(association);
  const std::uint64_t answer_before = progress_.answer_us, taking_before = progress_.taking_us;
  ASSERT_TRUE(Store(*association, MakeInstance(1000)));
  EXPECT_GE(progress_.answer_us - answer_before, 150'000U);
  EXPECT_EQ(progress_.taking_us, taking_before) << "a small dataset is sent at once";
}

// The destination has stopped reading: the writer waits for buffer space until another thread raises the event.
TEST_F(TcpAssociationTest, CancelEndsABlockedStoreAndNothingIsCompleted) {
  StartWithRule(InstanceAction::kStallReceiving, 65536);
  auto association = Associate();
  ASSERT_TRUE(association);
  const StoreRequest instance = MakeInstance(32'000'000);
  std::thread canceller([&] {
    while (progress_.bytes_sent == 0) std::this_thread::yield();
    // Waits until the writer is blocked: everything that was sent so far fits into the buffers.
    for (std::uint64_t sent = 0; sent != progress_.bytes_sent || progress_.waits == 0;) sent = progress_.bytes_sent;
    cancel_.Raise();
  });
  const std::uint64_t taking_before = progress_.taking_us;
  const auto stored = Store(*association, instance);
  canceller.join();
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().kind, StoreFailureKind::kCancelled);
  EXPECT_GT(progress_.taking_us, taking_before);
  EXPECT_FALSE(sent_);
  EXPECT_EQ(Request().error().kind, AssociationFailureKind::kCancelled);
  for (const auto& record : destination_.Log().instances) EXPECT_FALSE(record.complete);
}

Bytes Pdv(std::uint8_t context_id, const Bytes& data, bool is_command) {
  const DataHeader header = EncodeDataHeader(context_id, is_command, true, static_cast<std::uint32_t>(data.size()));
  Bytes pdu(header.begin(), header.end());
  pdu.insert(pdu.end(), data.begin(), data.end());
  return pdu;
}
Bytes Response(std::uint8_t context_id, std::uint16_t message_id, bool has_dataset = false,
               std::string_view sop_instance_uid = {}) {
  Command command;
  command.field = CommandField::kStoreResponse;
  command.message_id = message_id;
  command.has_dataset = has_dataset;
  command.sop_instance_uid = sop_instance_uid;
  Bytes encoded;
  EncodeCommand(command, encoded);
  return Pdv(context_id, encoded, true);
}
Bytes Joined(const Bytes& first, const Bytes& second) {
  Bytes joined = first;
  joined.insert(joined.end(), second.begin(), second.end());
  return joined;
}
// Two P-DATA-TF PDUs at once.
Bytes InOnePdu(Bytes first, const Bytes& second) {
  first.insert(first.end(), second.begin() + kPduHeaderBytes, second.end());
  first[4] = static_cast<std::uint8_t>((first.size() - kPduHeaderBytes) >> 8);
  first[5] = static_cast<std::uint8_t>(first.size() - kPduHeaderBytes);
  return first;
}
const Bytes kSomeDataset(20, 8);

struct NonconformingResponse {
  const char* remark;
  std::function<Bytes(std::uint8_t context_id, std::uint16_t message_id)> bytes;
};

class NonconformingResponseTest
    : public TcpAssociationTest,
      public ::testing::WithParamInterface<std::tuple<NonconformingResponse, std::uint16_t>> {};

TEST_P(NonconformingResponseTest, IsAcceptedAndKeepsTheAssociation) {
  const auto& [answer, window] = GetParam();
  StartWithWindow(window, With({.raw_answer = answer.bytes}));
  request_.timeouts.dimse = seconds(2);
  auto association = Associate();
  ASSERT_TRUE(association);
  const StoreRequest instance = MakeInstance(1000);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < window; ++i) {
      const auto sent = association->Send(instance);
      ASSERT_TRUE(sent) << sent.error().reason;
    }
    for (int i = 0; i < window; ++i) {
      const auto response = association->Receive();
      ASSERT_TRUE(response) << response.error().reason;
      EXPECT_EQ(response->status, 0);
    }
  }
  association->Release();
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.open_associations == 0; }, seconds(5)));
  EXPECT_EQ(destination_.Log().associations[0].end, AssociationEnd::kReleased);
  EXPECT_THAT(ignored_, ::testing::Contains(HasSubstr(answer.remark)).Times(1));
}

INSTANTIATE_TEST_SUITE_P(
    All, NonconformingResponseTest,
    ::testing::Combine(
        ::testing::Values(
            NonconformingResponse{
                "repeated",
                [](auto context, auto id) { return Joined(Response(context, id), Response(context, id)); }},
            NonconformingResponse{
                "repeated",
                [](auto context, auto id) { return InOnePdu(Response(context, id), Response(context, id)); }},
            NonconformingResponse{"announces a dataset",
                                  [](auto context, auto id) { return Response(context, id, true); }},
            NonconformingResponse{
                "a dataset after",
                [](auto context,
                   auto id) { return Joined(Response(context, id, true), Pdv(context, kSomeDataset, false)); }},
            NonconformingResponse{
                "a dataset after",
                [](auto context,
                   auto id) { return InOnePdu(Response(context, id), Pdv(context, kSomeDataset, false)); }},
            NonconformingResponse{"another presentation context", [](auto, auto id) { return Response(77, id); }},
            NonconformingResponse{"another SOP instance",
                                  [](auto context, auto id) { return Response(context, id, false, "1.2.3"); }}),
        ::testing::Values(std::uint16_t{1}, std::uint16_t{4})));

TEST_F(TcpAssociationTest, ADatasetBeforeAnyResponseEndsTheAssociationAtOnce) {
  Start(With({.raw_answer = [](auto context, auto) { return Pdv(context, kSomeDataset, false); }}));
  auto association = Associate();
  const auto stored = Store(*association, MakeInstance(1000));
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().kind, StoreFailureKind::kProtocolError);
}

// The response to the next message arrives before that message is sent, so it is invalid.
TEST_F(TcpAssociationTest, AnUnsolicitedResponseIsNeverTheNextRequests) {
  Start(With({.action = InstanceAction::kAnswerNextToo}));
  auto association = Associate();
  ASSERT_TRUE(Store(*association, MakeInstance(1000)));
  const auto second = Store(*association, MakeInstance(1000));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, StoreFailureKind::kProtocolError);
  EXPECT_FALSE(second.error().instance_touched);
}

DestinationBehaviour AcceptEdited(std::function<void(Bytes& pdu)> edit) {
  DestinationBehaviour behaviour;
  behaviour.edit_accept = [edit = std::move(edit)](Bytes& pdu) {
    edit(pdu);
    const std::size_t length = pdu.size() - kPduHeaderBytes;
    pdu[4] = static_cast<std::uint8_t>(length >> 8);
    pdu[5] = static_cast<std::uint8_t>(length);
  };
  return behaviour;
}
// The result of the context is the fifth byte of its item; its transfer syntax begins eight bytes later.
auto AnswerOf(Bytes& pdu, std::uint8_t context_id) {
  const Bytes item = {0x21, 0};
  auto at = std::search(pdu.begin() + 74, pdu.end(), item.begin(), item.end());
  while (at[4] != context_id) at = std::search(at + 2, pdu.end(), item.begin(), item.end());
  return at + 4;
}

TEST_F(TcpAssociationTest, AContextAcceptedWithAnUnproposedSyntaxIsIgnoredAlone) {
  Start(AcceptEdited([](Bytes& pdu) { AnswerOf(pdu, 1)[4 + 4 + 18] = '9'; }));
  auto association = Associate();
  ASSERT_TRUE(association);
  const ContextAnswer& answer = association->contexts()[0];
  EXPECT_EQ(answer.result, ContextResult::kTransferSyntaxesNotSupported);
  EXPECT_EQ(answer.refusal, "accepted with transfer syntax '1.2.840.10008.1.2.9', which was not proposed");
  EXPECT_EQ(Store(*association, MakeInstance(10)).error().kind, StoreFailureKind::kInvalidRequest);
  EXPECT_EQ(association->Echo(3), 0);
  EXPECT_THAT(ignored_, ::testing::ElementsAre(HasSubstr("which was not proposed")));
}

TEST_F(TcpAssociationTest, AnswersToContextsThatWereNotProposedAreIgnored) {
  Start(AcceptEdited([](Bytes& pdu) {
    pdu.insert(pdu.end(), {0x21, 0, 0, 4, 99, 0, 0, 0, 0x21, 0, 0, 4, 2, 0, 3, 0});
  }));
  auto association = Associate();
  ASSERT_TRUE(association);
  EXPECT_EQ(association->contexts().size(), 2U);
  EXPECT_EQ(association->Echo(3), 0);
  EXPECT_THAT(ignored_, ::testing::UnorderedElementsAre(HasSubstr("was not proposed"), HasSubstr("is even")));
}

TEST_F(TcpAssociationTest, AnEvenIdIsNotMistakenForItsNeighbor) {
  Start(AcceptEdited([](Bytes& pdu) { *AnswerOf(pdu, 3) = 2; }));
  auto association = Associate();
  ASSERT_TRUE(association);
  EXPECT_EQ(association->contexts()[0].result, ContextResult::kAccepted);
  EXPECT_NE(association->contexts()[1].result, ContextResult::kAccepted);
}

// DCMTK's storescp, an independent implementation.
TEST_F(TcpAssociationTest, StorescpStoresTheSameBytes) {
  const std::uint16_t port = FindFreePort();
  // +B makes it write the received bytes, so the dataset can be compared exactly.
  ChildProcess storescp({"storescp", "+B", "-od", folder_.path().string(), std::to_string(port)}, {"TCP_NODELAY=1"});
  ASSERT_TRUE(WaitForPort(port, seconds(10)));
  request_ = RequestTo(port);
  auto association = Associate();
  ASSERT_TRUE(association);
  EXPECT_EQ(association->Echo(3), 0);
  // One element, explicit VR little endian: (0008,0016) and (0008,0018), then 70000 bytes of (7FE0,0010) OW.
  std::string dataset("\x08\0\x16\0UI\x1a\0", 8);
  dataset += kCtImage + std::string(1, '\0');
  dataset += std::string("\x08\0\x18\0UI\x08\0", 8) + std::string("1.2.3.4\0", 8);
  dataset += std::string("\xe0\x7f\x10\0OW\0\0\x70\x11\x01\0", 12) + std::string(70000, 'p');
  const std::string path = (folder_ / "own").string();
  std::ofstream(path, std::ios::binary) << dataset;
  file_ = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto stored = Store(
      *association, {1, kCtImage, "1.2.3.4", {.fd = file_.get(), .offset_bytes = 0, .size_bytes = dataset.size()}});
  ASSERT_TRUE(stored) << stored.error().reason;
  EXPECT_EQ(stored->status, 0);
  association->Release();
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    if (entry.path() == path) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string received(std::istreambuf_iterator<char>(in), {});
    ASSERT_GT(received.size(), dataset.size());
    EXPECT_EQ(received.substr(received.size() - dataset.size()), dataset);
    ++found;
  }
  EXPECT_EQ(found, 1);
}

// Moves the thread to a separate network; the other tests stay in the normal one.
class SilentNameServerTest : public TcpAssociationTest {
 protected:
  // `host` must differ for each test. Otherwise a lookup that is still running from an earlier test would be shared.
  void InItsNetwork(const char* host, const std::function<void(const SilentNameServer&)>& test) {
    bool permitted = false;
    std::thread([&] {
      const auto server = SilentNameServer::Start(folder_.path());
      permitted = server.has_value();
      request_ = RequestTo(104);
      request_.host = host;
      if (permitted) test(*server);
    }).join();
    if (!permitted) GTEST_SKIP() << "no permission to create a network and a mount namespace";
  }
  tl::expected<std::unique_ptr<Association>, AssociationFailure> RequestWithin(seconds limit) {
    const auto begin = std::chrono::steady_clock::now();
    auto association = Request();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, limit);
    return association;
  }
};

TEST_F(SilentNameServerTest, ALookupEndsAtTheDeadlineOfTheConnection) {
  InItsNetwork("deadline.example", [this](const SilentNameServer& server) {
    request_.timeouts.connect = milliseconds(1500);
    const auto association = RequestWithin(seconds(10));
    EXPECT_TRUE(server.WaitForQuestion(milliseconds(0)));
    ASSERT_FALSE(association);
    EXPECT_EQ(association.error().kind, AssociationFailureKind::kResolve);
    EXPECT_EQ(association.error().reason, "cannot resolve the host: the name server does not answer in time");
    EXPECT_FALSE(association.error().permanent);
    EXPECT_GE(progress_.waits, 1U) << "a wait with a deadline is progress";
  });
}

TEST_F(SilentNameServerTest, ALookupEndsWhenItIsCancelled) {
  InItsNetwork("cancelled.example", [this](const SilentNameServer& server) {
    request_.timeouts.connect = seconds(120);
    std::thread canceller([&] {
      EXPECT_TRUE(server.WaitForQuestion(seconds(60)));
      cancel_.Raise();
    });
    const auto association = RequestWithin(seconds(10));
    canceller.join();
    ASSERT_FALSE(association);
    EXPECT_EQ(association.error().kind, AssociationFailureKind::kCancelled);
  });
}

}  // namespace
}  // namespace dicom_sender
