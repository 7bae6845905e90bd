// The sender of a study with scripted associations: what it reports and when it gives up.
#include "worker/sending/study_sender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <deque>

#include "dicom/file/file_header.h"
#include "dicom/transfer_syntax.h"
#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"
#include "worker/association/context_plan.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using StoreAnswer = tl::expected<StoreResponse, StoreFailure>;

StoreAnswer Status(std::uint16_t status) {
  return StoreResponse{.message_id = 0, .status = status, .error_comment = ""};
}
StoreAnswer Lost(bool touched = true) {
  return tl::unexpected(StoreFailure{StoreFailureKind::kConnectionLost, false, touched, "connection lost"});
}
StoreAnswer Failed(StoreFailureKind kind, bool usable) {
  return tl::unexpected(StoreFailure{kind, usable, !usable, "scripted"});
}
// Everything is sent, but the association is lost before the response.
const StoreAnswer kUnanswered =
    tl::unexpected(StoreFailure{StoreFailureKind::kConnectionLost, false, true, "lost while it was waited for"});
bool IsUnanswered(const StoreAnswer& answer) {
  return !answer && answer.error().reason == kUnanswered.error().reason;
}

// The behavior of the destination, and what it received.
struct Script {
  std::deque<StoreAnswer> answers;                      // afterwards success
  std::deque<AssociationFailure> association_failures;  // before the first successful association
  std::size_t contexts_refused = 0;                     // how many contexts of each association are refused
  std::vector<std::string> stored;                      // SOP Instance UIDs
  std::vector<DatasetBytes> datasets;                   // of the stored instances; their files may be closed by now
  std::uint16_t window = 1;
  bool last_first = false;  // reverses the order of the answers
  bool keeps = false;       // buffers requests until it has to wait
  std::size_t arrived = 0;  // responses that had already arrived when a Send failed
  unsigned flushes = 0;
  std::size_t in_flight_max = 0;
  unsigned associations = 0, released = 0, open = 0, echoes = 0;
  std::vector<std::uint16_t> proposed_windows;  // per request
  std::function<void()> on_store;               // called before the answer
};

class ScriptedAssociation : public Association {
 public:
  ScriptedAssociation(Script& script, const AssociationRequest& request) : script_(script) {
    ++script_.associations;
    ++script_.open;
    for (const ProposedContext& context : request.contexts) {
      const bool refused = contexts_.size() < script.contexts_refused;
      contexts_.push_back({context.id,
                           refused ? ContextResult::kTransferSyntaxesNotSupported : ContextResult::kAccepted,
                           refused ? "" : context.transfer_syntaxes[0]});
    }
  }
  ~ScriptedAssociation() override { --script_.open; }
  const std::vector<ContextAnswer>& contexts() const override { return contexts_; }
  std::uint32_t peer_max_pdu_bytes() const override { return 0; }
  std::uint16_t window() const override { return script_.window; }
  tl::expected<std::uint16_t, StoreFailure> Send(const StoreRequest& request) override {
    EXPECT_LT(in_flight_.size(), script_.window);
    if (script_.on_store) script_.on_store();
    script_.stored.emplace_back(request.sop_instance_uid);
    script_.datasets.push_back(request.dataset);
    StoreAnswer answer = Status(0);
    if (!script_.answers.empty()) {
      answer = std::move(script_.answers.front());
      script_.answers.pop_front();
    }
    if (!answer && !IsUnanswered(answer)) {
      if (!answer.error().association_usable) over_ = answer.error();
      return tl::unexpected(answer.error());
    }
    ++message_id_;
    if (answer) answer->message_id = message_id_;
    in_flight_.push_back({message_id_, std::move(answer), script_.keeps});
    script_.in_flight_max = std::max(script_.in_flight_max, in_flight_.size());
    return message_id_;
  }
  void Flush() override {
    ++script_.flushes;
    for (Operation& operation : in_flight_) operation.kept = false;
  }
  std::vector<std::uint16_t> Unsend() override {
    std::vector<std::uint16_t> ids;
    for (const Operation& operation : in_flight_) {
      if (operation.kept) ids.push_back(operation.message_id);
    }
    std::erase_if(in_flight_, [](const Operation& operation) { return operation.kept; });
    for (std::size_t i = 0; i < ids.size(); ++i) script_.stored.pop_back();
    return ids;
  }
  StoreAnswer Receive() override {
    if (in_flight_.empty()) {
      ADD_FAILURE() << "nothing is outstanding";
      return kUnanswered;
    }
    if (over_ && script_.arrived == 0) return tl::unexpected(*over_);
    if (over_) --script_.arrived;
    Flush();
    const auto next = script_.last_first ? in_flight_.end() - 1 : in_flight_.begin();
    StoreAnswer answer = std::move(next->answer);
    in_flight_.erase(next);
    return answer;
  }
  tl::expected<std::uint16_t, StoreFailure> Echo(std::uint8_t) override {
    ++script_.echoes;
    return 0;
  }
  void Release() override {
    EXPECT_TRUE(in_flight_.empty()) << "released with operations outstanding";
    ++script_.released;
  }
  void Abort() override {}

 private:
  Script& script_;
  std::vector<ContextAnswer> contexts_;
  struct Operation {
    std::uint16_t message_id = 0;
    StoreAnswer answer;
    bool kept = false;
  };
  std::uint16_t message_id_ = 0;
  std::deque<Operation> in_flight_;
  std::optional<StoreFailure> over_;
};

class ScriptedPort : public StudyPort {
 public:
  std::optional<wire::Page> FetchPage(std::uint32_t from_index) override {
    if (on_fetch) on_fetch();
    fetched.push_back(from_index);
    if (pages.empty()) return std::nullopt;
    wire::Page page = std::move(pages.front());
    pages.pop_front();
    return page;
  }
  void Report(wire::Outcome outcome) override { outcomes.push_back(std::move(outcome)); }
  void AssociationOpened() override { ++associations; }
  bool StopRequested() const override { return outcomes.size() >= stop_after; }

  std::deque<wire::Page> pages;
  std::size_t stop_after = SIZE_MAX;
  std::function<void()> on_fetch;
  std::vector<std::uint32_t> fetched;
  std::vector<wire::Outcome> outcomes;
  unsigned associations = 0;
};

class Nobody : public SendingObserver {
  void OnOutcome(unsigned, const SentInstance&, const wire::Outcome&) override {}
};

class StudySenderTest : public testing::Test {
 protected:
  void SetUp() override {
    grant_.set_study_instance_uid("1.2");
    grant_.mutable_destination()->set_called_ae("PACS");
    grant_.mutable_destination()->set_calling_ae("US");
    grant_.mutable_destination()->set_host("pacs.example");
    grant_.mutable_destination()->set_port(104);
    grant_.mutable_first_page()->add_roots()->set_path(folder_.path());
  }

  wire::Instance MakeInstance(std::uint32_t index, const std::string& sop_class = "1.2.840.10008.5.1.4.1.1.7") {
    ExampleInstance example;
    example.sop_instance_uid = "1.2.3." + std::to_string(index);
    example.sop_class_uid = sop_class;
    const std::string name = std::to_string(index) + ".dcm";
    WriteFile(folder_ / name, ExampleFile(example));
    const auto header = ReadFileHeader(folder_ / name);
    wire::Instance instance;
    instance.set_index(index);
    instance.set_path(name);
    instance.set_sop_class_uid(sop_class);
    instance.set_sop_instance_uid(example.sop_instance_uid);
    instance.set_transfer_syntax_uid(header->transfer_syntax_uid);
    instance.set_dataset_offset(header->dataset_offset);
    instance.set_size_bytes(header->identity.size_bytes);
    instance.set_mtime_ns(header->identity.mtime_ns);
    return instance;
  }
  void Need(const wire::Instance& instance) {
    auto* pair = grant_.add_pairs();
    pair->set_sop_class_uid(instance.sop_class_uid());
    pair->set_transfer_syntax_uid(instance.transfer_syntax_uid());
  }
  // Creates a file with the given bytes and transfer syntax, as the scan would have found it.
  void AddFile(const std::string& bytes, const std::string& transfer_syntax_uid) {
    wire::Instance instance = MakeInstance(0);
    WriteFile(folder_ / instance.path(), bytes);
    const auto header = ReadFileHeader(folder_ / instance.path());
    instance.set_transfer_syntax_uid(transfer_syntax_uid);
    instance.set_size_bytes(header ? header->identity.size_bytes : header.error().known.identity.size_bytes);
    instance.set_mtime_ns(header ? header->identity.mtime_ns : header.error().known.identity.mtime_ns);
    Need(instance);
    *grant_.mutable_first_page()->add_instances() = instance;
  }
  void AddInstances(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const wire::Instance instance = MakeInstance(i);
      if (i == 0) Need(instance);
      *grant_.mutable_first_page()->add_instances() = instance;
    }
  }

  wire::GiveBack Send() {
    const SendingContext context{.thread = 0,
                                 .associate = [this](const AssociationRequest& request)
                                     -> tl::expected<std::unique_ptr<Association>, AssociationFailure> {
                                   script_.proposed_windows.push_back(request.async_window);
                                   if (!script_.association_failures.empty()) {
                                     AssociationFailure failure = std::move(script_.association_failures.front());
                                     script_.association_failures.pop_front();
                                     return tl::unexpected(std::move(failure));
                                   }
                                   return std::make_unique<ScriptedAssociation>(script_, request);
                                 },
                                 .progress = progress_,
                                 .windows = windows_,
                                 .metrics = metrics_,
                                 .observer = nobody_};
    wire::GiveBack give_back = SendStudy(grant_, port_, context);
    EXPECT_EQ(script_.open, 0U) << "every association is over";
    EXPECT_EQ(metrics_.associations_active.Value(), 0);
    return give_back;
  }
  std::vector<wire::Outcome::Kind> Kinds() const {
    std::vector<wire::Outcome::Kind> kinds;
    for (const auto& outcome : port_.outcomes) kinds.push_back(outcome.kind());
    return kinds;
  }

  TemporaryFolder folder_;
  wire::LeaseGrant grant_;
  ScriptedPort port_;
  Script script_;
  Nobody nobody_;
  SendingProgress progress_;
  WindowMemory windows_;
  prometheus::Registry registry_;
  WorkerMetrics metrics_{registry_};
};

constexpr auto kResponded = wire::Outcome::RESPONDED;
constexpr auto kAssociationLost = wire::Outcome::ASSOCIATION_LOST;
constexpr auto kNotSendable = wire::Outcome::NOT_SENDABLE;
constexpr auto kUnreadable = wire::Outcome::UNREADABLE;
constexpr auto kUnansweredKind = wire::Outcome::UNANSWERED;

std::vector<std::uint32_t> Indices(const std::vector<wire::Outcome>& outcomes) {
  std::vector<std::uint32_t> indices;
  for (const auto& outcome : outcomes) indices.push_back(outcome.index());
  return indices;
}

constexpr char kOddText[] = "\x09\x00\x01\x10LO\x01\x00x";
constexpr char kOddNumber[] = "\x09\x00\x01\x10US\x01\x00x";

std::string FileWith(const std::string& more) { return ExampleFile({.sop_instance_uid = "1.2.3.0"}) + more; }

TEST_F(StudySenderTest, AnEvenDatasetIsSentFromItsFile) {
  AddFile(FileWith(""), std::string(kExplicitVrLittleEndian));
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  ASSERT_EQ(script_.datasets.size(), 1U);
  EXPECT_EQ(script_.datasets[0].offset_bytes, grant_.first_page().instances(0).dataset_offset());
  EXPECT_EQ(metrics_.decode_seconds.Value(), 0);
}

TEST_F(StudySenderTest, AnOddDatasetIsPadded) {
  AddFile(FileWith(std::string(kOddText, 9)), std::string(kExplicitVrLittleEndian));
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kResponded));
  ASSERT_EQ(script_.datasets.size(), 1U);
  EXPECT_EQ(script_.datasets[0].offset_bytes, 0U);
  EXPECT_EQ(script_.datasets[0].size_bytes, ExampleDataset({.sop_instance_uid = "1.2.3.0"}).size() + 10);
  EXPECT_FALSE(script_.datasets[0].pad_to_even);
  EXPECT_FALSE(port_.outcomes[0].transcoded());
}

TEST_F(StudySenderTest, AnOddDatasetThatCannotBePaddedIsUnsendable) {
  AddFile(FileWith(std::string(kOddNumber, 9)), std::string(kExplicitVrLittleEndian));
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kNotSendable));
  EXPECT_THAT(port_.outcomes[0].reason(), HasSubstr("element (0009,1001): its length of 1 bytes is odd"));
  EXPECT_TRUE(script_.datasets.empty());
}

// PS3.5 A.5: the deflated stream is padded, regardless of its content.
TEST_F(StudySenderTest, ADeflatedDatasetIsPaddedAsAWhole) {
  for (const char* syntax : {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}) {
    SCOPED_TRACE(syntax);
    grant_.mutable_first_page()->clear_instances();
    script_.datasets.clear();
    AddFile(FileWith("an odd stream"), syntax);
    EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
    ASSERT_EQ(script_.datasets.size(), 1U);
    EXPECT_EQ(script_.datasets[0].size_bytes % 2, 1U);
    EXPECT_TRUE(script_.datasets[0].pad_to_even);
  }
}

TEST_F(StudySenderTest, FillsTheWindowAndMatchesResponses) {
  AddInstances(6);
  script_.window = 4;
  script_.last_first = true;
  script_.answers = {Status(0), Status(0xC001), Status(0), Status(0xB000)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_EQ(script_.in_flight_max, 4U);
  EXPECT_EQ(script_.stored.size(), 6U);
  EXPECT_EQ(script_.released, 1U);
  EXPECT_THAT(Indices(port_.outcomes), testing::UnorderedElementsAre(0U, 1U, 2U, 3U, 4U, 5U));
  for (const auto& outcome : port_.outcomes) {
    const std::uint32_t expected = outcome.index() == 1 ? 0xC001 : outcome.index() == 3 ? 0xB000 : 0;
    EXPECT_EQ(outcome.status(), expected) << outcome.index();
  }
}

TEST_F(StudySenderTest, ALossWithSeveralInFlightUsesNoAttempt) {
  AddInstances(5);
  script_.window = 3;
  script_.answers = {Status(0), Status(0), kUnanswered, Status(0), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kResponded, kResponded, kUnansweredKind, kUnansweredKind, kUnansweredKind));
  EXPECT_THAT(Indices(port_.outcomes), ElementsAre(0U, 1U, 2U, 3U, 4U));
  for (std::size_t i = 2; i < 5; ++i) EXPECT_TRUE(port_.outcomes[i].may_be_stored());
}

TEST_F(StudySenderTest, ALossWithOneInFlightUsesAnAttempt) {
  AddInstances(1);
  script_.window = 3;
  script_.answers = {kUnanswered};
  const wire::GiveBack give_back = Send();
  EXPECT_EQ(give_back.reason(), wire::GiveBack::DESTINATION_TRANSIENT) << "nothing of the study was stored";
  EXPECT_TRUE(give_back.echo_answered());
  EXPECT_THAT(Kinds(), ElementsAre(kAssociationLost));
  EXPECT_TRUE(port_.outcomes[0].may_be_stored());
}

TEST_F(StudySenderTest, ALossWhileSendingAffectsInstancesInFlight) {
  AddInstances(3);
  script_.window = 3;
  script_.answers = {Status(0), Lost(), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnansweredKind, kUnansweredKind, kResponded));
  EXPECT_TRUE(port_.outcomes[0].may_be_stored());
  EXPECT_FALSE(port_.outcomes[1].may_be_stored()) << "it was sent in part";
}

TEST_F(StudySenderTest, AFileThatShrinksDoesNotAffectOthers) {
  AddInstances(3);
  script_.window = 3;
  script_.answers = {Status(0), Failed(StoreFailureKind::kFileChanged, /*usable=*/false), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnansweredKind, kUnreadable, kResponded));
}

TEST_F(StudySenderTest, InstancesMarkedAsAloneAreSentAlone) {
  AddInstances(5);
  grant_.mutable_first_page()->mutable_instances(2)->set_alone(true);
  script_.window = 4;
  std::vector<std::size_t> reported;
  script_.on_store = [&] { reported.push_back(port_.outcomes.size()); };
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(reported, ElementsAre(0U, 0U, 2U, 3U, 3U));
}

TEST_F(StudySenderTest, ADrainFinishesInstancesInFlight) {
  AddInstances(6);
  script_.window = 3;
  port_.stop_after = 1;
  EXPECT_EQ(Send().reason(), wire::GiveBack::DRAINING);
  EXPECT_EQ(script_.stored.size(), 3U);
  EXPECT_EQ(port_.outcomes.size(), 3U);
  EXPECT_EQ(script_.released, 1U);
}

TEST_F(StudySenderTest, InstancesFoundAfterTheGrantAreLeftForTheNextLease) {
  AddInstances(1);
  grant_.mutable_first_page()->set_next_index(1);
  wire::Page page;
  page.add_roots()->set_path(folder_.path());
  *page.add_instances() = MakeInstance(1, "1.2.840.10008.5.1.4.1.1.88.11");  // the plan has no context for it
  *page.add_instances() = MakeInstance(2);
  port_.pages.push_back(page);
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  ASSERT_EQ(port_.outcomes.size(), 2U) << "it has not failed";
  EXPECT_EQ(port_.outcomes[0].index(), 0U);
  EXPECT_EQ(port_.outcomes[1].index(), 2U);
}

TEST_F(StudySenderTest, SendsEverythingOverOneAssociation) {
  AddInstances(3);
  script_.answers = {Status(0), Status(0xB000), Status(0xC001)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kResponded, kResponded, kResponded));
  EXPECT_EQ(port_.outcomes[1].status(), 0xB000U);
  EXPECT_EQ(port_.outcomes[2].status(), 0xC001U);
  EXPECT_EQ(script_.associations, 1U);
  EXPECT_EQ(script_.released, 1U);
  EXPECT_EQ(port_.associations, 1U);
}

TEST_F(StudySenderTest, ReportsWhatTheTimeWasSpentOn) {
  AddInstances(2);
  // The clock is real, so only the wait times of the association are exact.
  script_.on_store = [this] {
    progress_.bytes_sent += 1000;
    progress_.taking_us += 250'000;
    progress_.answer_us += 1'500'000;
  };
  Send();
  EXPECT_EQ(metrics_.bytes_sent_total.Value(), 2000);
  EXPECT_DOUBLE_EQ(metrics_.transfer_seconds.Value(), 0.5);
  EXPECT_DOUBLE_EQ(metrics_.response_seconds.Value(), 3);
  EXPECT_GT(metrics_.storage_seconds.Value(), 0);
  EXPECT_GT(metrics_.association_seconds.Value(), 0);
  EXPECT_EQ(metrics_.decode_seconds.Value(), 0);
}

TEST_F(StudySenderTest, FetchesFurtherPages) {
  AddInstances(2);
  grant_.mutable_first_page()->set_next_index(2);
  wire::Page page;
  page.add_roots()->set_path(folder_.path());
  *page.add_instances() = MakeInstance(2);
  port_.pages = {page};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(port_.fetched, ElementsAre(2U));
  EXPECT_EQ(script_.stored.size(), 3U);
}

TEST_F(StudySenderTest, StopsAtAnInstanceBoundary) {
  AddInstances(3);
  port_.stop_after = 1;
  EXPECT_EQ(Send().reason(), wire::GiveBack::DRAINING);
  EXPECT_EQ(script_.stored.size(), 1U);
  EXPECT_EQ(script_.released, 1U) << "released regularly";
}

TEST_F(StudySenderTest, StopsWithoutAPage) {
  AddInstances(1);
  grant_.mutable_first_page()->set_next_index(1);
  EXPECT_EQ(Send().reason(), wire::GiveBack::DRAINING);
}

TEST_F(StudySenderTest, ALostAssociationAffectsOnlyTheInstanceInFlight) {
  AddInstances(3);
  script_.answers = {Status(0), Lost(), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kResponded, kAssociationLost, kResponded));
  EXPECT_THAT(script_.stored, ElementsAre("1.2.3.0", "1.2.3.1", "1.2.3.2")) << "not tried again under this lease";
  EXPECT_EQ(port_.associations, 2U);
}

TEST_F(StudySenderTest, AnUntouchedInstanceIsSentOnTheNextAssociation) {
  AddInstances(2);
  script_.answers = {Status(0), Lost(/*touched=*/false), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kResponded, kResponded));
}

TEST_F(StudySenderTest, AnEchoAfterThreeLossesFindsTheCause) {
  AddInstances(6);
  script_.answers = {Lost(), Lost(), Status(0), Lost(), Lost(), Lost()};
  const wire::GiveBack give_back = Send();
  EXPECT_EQ(give_back.reason(), wire::GiveBack::DESTINATION_TRANSIENT);
  EXPECT_THAT(give_back.detail(), HasSubstr("PACS:104@pacs.example"));
  EXPECT_TRUE(give_back.echo_answered());
  EXPECT_EQ(script_.echoes, 1U);
  EXPECT_EQ(port_.outcomes.size(), 6U);
  EXPECT_EQ(port_.associations, 5U) << "the C-ECHO's association does not count";
}

AssociationFailure Rejected(bool explained) {
  return {.kind = AssociationFailureKind::kRejectedPermanent,
          .permanent = true,
          .reason = "rejected",
          .connected = true,
          .explained = explained};
}

TEST_F(StudySenderTest, ARejectionConcernsTheStudyIfTheEchoIsAnswered) {
  AddInstances(1);
  script_.association_failures = {Rejected(false)};
  const wire::GiveBack give_back = Send();
  EXPECT_EQ(give_back.reason(), wire::GiveBack::DESTINATION_REJECTED);
  EXPECT_TRUE(give_back.echo_answered());
}

TEST_F(StudySenderTest, ARejectedEchoConcernsTheDestination) {
  AddInstances(1);
  script_.association_failures = {Rejected(true), Rejected(true)};
  const wire::GiveBack give_back = Send();
  EXPECT_EQ(give_back.reason(), wire::GiveBack::DESTINATION_REFUSED);
  EXPECT_FALSE(give_back.echo_answered());
}

TEST_F(StudySenderTest, AnAcceptedAssociationCountsAsAnEchoWithoutVerification) {
  AddInstances(1);
  script_.association_failures = {Rejected(false)};
  script_.contexts_refused = 1;
  EXPECT_TRUE(Send().echo_answered());
  EXPECT_EQ(script_.echoes, 0U);
}

TEST_F(StudySenderTest, ATransientRejectionIsNotAnOutage) {
  AddInstances(1);
  script_.association_failures = {
      {.kind = AssociationFailureKind::kRejectedTransient, .reason = "congestion", .connected = true}};
  const wire::GiveBack give_back = Send();
  EXPECT_EQ(give_back.reason(), wire::GiveBack::DESTINATION_BUSY);
  EXPECT_TRUE(give_back.echo_answered());
}

TEST_F(StudySenderTest, AStopDuringTheEchoReportsNoCause) {
  AddInstances(1);
  script_.association_failures = {Rejected(false), {AssociationFailureKind::kCancelled, false, "cancelled"}};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DRAINING);
}

// A loss that the window may have caused uses no attempt and does not count as one of three losses.
TEST_F(StudySenderTest, AfterALossBeforeAnyResponseNoWindowIsProposed) {
  AddInstances(5);
  grant_.mutable_send_options()->set_async_window(16);
  script_.answers = {kUnanswered, Status(0), Lost(), Lost(), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnansweredKind, kResponded, kAssociationLost, kAssociationLost, kResponded));
  EXPECT_THAT(script_.proposed_windows, ElementsAre(16, 1, 1, 1));
  EXPECT_FALSE(windows_.MayPropose("PACS:104@pacs.example")) << "for the next study, too";
}

TEST_F(StudySenderTest, ALossWhileSendingMayBeCausedByTheWindow) {
  AddInstances(3);
  grant_.mutable_send_options()->set_async_window(16);
  script_.answers = {Lost(), Lost(/*touched=*/false), Lost(), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnansweredKind, kAssociationLost, kResponded));
  EXPECT_THAT(script_.proposed_windows, ElementsAre(16, 1, 16, 1)) << "without a window it was lost as well";
}

TEST_F(StudySenderTest, ALossAfterAResponseIsNotCausedByTheWindow) {
  AddInstances(4);
  grant_.mutable_send_options()->set_async_window(16);
  script_.answers = {Status(0), Lost(), Lost(), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kResponded, kAssociationLost, kAssociationLost, kResponded));
  EXPECT_THAT(script_.proposed_windows, ElementsAre(16, 16, 16)) << "a window has worked there";
}

TEST_F(StudySenderTest, OnlyOneLossPerLeaseIsAttributedToTheWindow) {
  AddInstances(6);
  grant_.mutable_send_options()->set_async_window(16);
  script_.answers = {Lost(), Lost(), Lost(), Lost(), Lost(), Lost()};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DESTINATION_TRANSIENT);
  EXPECT_THAT(Kinds(), ElementsAre(kUnansweredKind, kAssociationLost, kAssociationLost, kAssociationLost));
}

TEST_F(StudySenderTest, WithoutAWindowALossIsNotAttributedToIt) {
  AddInstances(2);
  script_.answers = {Lost()};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kAssociationLost, kResponded));
  EXPECT_THAT(script_.proposed_windows, ElementsAre(1, 1));
  EXPECT_TRUE(windows_.MayPropose("PACS:104@pacs.example"));
}

TEST_F(StudySenderTest, AnUnsendableFileDoesNotAffectTheWindow) {
  AddInstances(4);
  grant_.mutable_send_options()->set_async_window(16);
  script_.answers = {Lost(), Failed(StoreFailureKind::kFileChanged, /*usable=*/true), Status(0), Status(0)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(script_.proposed_windows, ElementsAre(16, 1));
  EXPECT_FALSE(windows_.MayPropose("PACS:104@pacs.example"));
}

class WindowRefusalTest : public StudySenderTest, public testing::WithParamInterface<AssociationFailureKind> {};

TEST_P(WindowRefusalTest, ARequestLostBecauseOfItsWindowIsRepeatedWithoutOne) {
  AddInstances(2);
  grant_.mutable_send_options()->set_async_window(16);
  script_.association_failures = {{GetParam(), false, "lost"}};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(script_.proposed_windows, ElementsAre(16, 1));
  EXPECT_FALSE(windows_.MayPropose("PACS:104@pacs.example"));
}

INSTANTIATE_TEST_SUITE_P(All, WindowRefusalTest,
                         testing::Values(AssociationFailureKind::kAborted, AssociationFailureKind::kConnectionLost));

TEST_F(StudySenderTest, AnOutageDoesNotDisableWindows) {
  AddInstances(2);
  grant_.mutable_send_options()->set_async_window(16);
  for (const auto kind : {AssociationFailureKind::kAborted, AssociationFailureKind::kRefused,
                          AssociationFailureKind::kTimedOut, AssociationFailureKind::kRejectedTransient}) {
    script_.association_failures = {{AssociationFailureKind::kConnectionLost, false, "lost"}, {kind, false, "again"}};
    const wire::GiveBack give_back = Send();
    EXPECT_EQ(give_back.reason(), kind == AssociationFailureKind::kRejectedTransient
                                      ? wire::GiveBack::DESTINATION_BUSY
                                      : wire::GiveBack::DESTINATION_TRANSIENT);
    EXPECT_THAT(give_back.detail(), HasSubstr("again"));
    EXPECT_TRUE(windows_.MayPropose("PACS:104@pacs.example"));
  }
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_EQ(script_.proposed_windows.back(), 16);
}

TEST_F(StudySenderTest, AnUnreachableDestinationMakesItGiveTheStudyBack) {
  AddInstances(2);
  script_.association_failures = {{AssociationFailureKind::kRefused, false, "cannot connect: Connection refused"}};
  const wire::GiveBack give_back = Send();
  EXPECT_EQ(give_back.reason(), wire::GiveBack::DESTINATION_TRANSIENT);
  EXPECT_EQ(give_back.failure(), "refused");
  for (const char* word : {"PACS", "104", "pacs.example", "US", "Connection refused"}) {
    EXPECT_THAT(give_back.detail(), HasSubstr(word));
  }
  EXPECT_TRUE(port_.outcomes.empty()) << "no instance has used an attempt";
}

TEST_F(StudySenderTest, NotAuthorizedConcernsOneInstance) {
  AddInstances(2);
  script_.answers = {Status(0x0124)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kResponded, kResponded));
}

TEST_F(StudySenderTest, AnUnreadableFileFailsAloneWithoutAnAssociation) {
  AddInstances(1);
  std::filesystem::remove(folder_ / "0.dcm");
  WriteFile(folder_ / "other", "so that the folder is not empty");
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnreadable));
  EXPECT_FALSE(port_.outcomes[0].storage_away());
  EXPECT_EQ(script_.associations, 0U);
}

TEST_F(StudySenderTest, AStorageOutageIsReportedForEachInstance) {
  AddInstances(2);
  std::filesystem::remove(folder_ / "0.dcm");
  std::filesystem::remove(folder_ / "1.dcm");
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnreadable, kUnreadable));
  for (const auto& outcome : port_.outcomes) EXPECT_TRUE(outcome.storage_away());
}

TEST_F(StudySenderTest, AReadErrorWithinAFileIsTransient) {
  AddInstances(1);
  script_.answers = {Failed(StoreFailureKind::kFileUnreadable, /*usable=*/true)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnreadable));
  EXPECT_TRUE(port_.outcomes[0].storage_away());
}

TEST_F(StudySenderTest, AFileThatChangesWhileItIsSentFailsAlone) {
  AddInstances(2);
  script_.answers = {Failed(StoreFailureKind::kFileChanged, /*usable=*/false)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kUnreadable, kResponded));
  EXPECT_EQ(port_.associations, 2U) << "the broken one is never used again";
}

TEST_F(StudySenderTest, ACancelledWaitHasNoOutcome) {
  AddInstances(2);
  script_.answers = {Failed(StoreFailureKind::kCancelled, /*usable=*/false)};
  EXPECT_EQ(Send().reason(), wire::GiveBack::DRAINING);
  EXPECT_TRUE(port_.outcomes.empty());
}

TEST_F(StudySenderTest, ARefusedSyntaxIsDecoded) {
  AddInstances(1);
  script_.contexts_refused = 1;
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  ASSERT_THAT(Kinds(), ElementsAre(kResponded));
  EXPECT_TRUE(port_.outcomes[0].transcoded());
}

TEST_F(StudySenderTest, WithoutAnAcceptedContextEachInstanceFailsWithTheReason) {
  AddInstances(2);
  script_.contexts_refused = 128;
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_THAT(Kinds(), ElementsAre(kNotSendable, kNotSendable));
  EXPECT_THAT(port_.outcomes[0].reason(), HasSubstr("transfer syntaxes not supported"));
}

TEST_F(StudySenderTest, RequestsPerAssociationAreLimited) {
  AddInstances(5);
  grant_.mutable_send_options()->set_requests_per_association_max(2);
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_EQ(port_.associations, 3U);
  EXPECT_EQ(script_.released, 3U);
}

TEST_F(StudySenderTest, ManyContextsUseConsecutiveAssociationsAndNothingIsSentTwice) {
  wire::Page again;  // the second part reads pages from the beginning and finds the unsettled instances
  again.add_roots()->set_path(folder_.path());
  for (std::uint32_t i = 0; i < 70; ++i) {
    const wire::Instance instance = MakeInstance(i, "1.2.3.4." + std::to_string(i));
    Need(instance);
    *grant_.mutable_first_page()->add_instances() = instance;
    *again.add_instances() = instance;
  }
  port_.pages = {again};
  script_.answers = {Status(0xA700)};  // leaves the instance unsettled
  EXPECT_EQ(Send().reason(), wire::GiveBack::DONE);
  EXPECT_EQ(port_.associations, 2U);
  EXPECT_EQ(script_.stored.size(), 70U);
}

TEST_F(StudySenderTest, ResponsesReceivedBeforeALossCount) {
  AddInstances(4);
  script_.window = 16;
  script_.answers = {Status(0), Status(0), Status(0xA900), Lost()};
  script_.arrived = 2;
  Send();
  ASSERT_EQ(port_.outcomes.size(), 4U);
  EXPECT_EQ(port_.outcomes[0].kind(), wire::Outcome::RESPONDED);
  EXPECT_EQ(port_.outcomes[1].kind(), wire::Outcome::RESPONDED);
  EXPECT_EQ(port_.outcomes[2].kind(), wire::Outcome::UNANSWERED);
  EXPECT_EQ(port_.outcomes[3].kind(), wire::Outcome::UNANSWERED);
}

// The first context is refused, so the instances are decoded for the fallback.
TEST_F(StudySenderTest, TheBufferIsFlushedBeforeAnInstanceIsDecoded) {
  AddInstances(2);
  script_.window = 16;
  script_.keeps = true;
  script_.contexts_refused = 1;
  unsigned flushes = 0;
  script_.on_store = [&] { flushes = script_.flushes; };
  Send();
  EXPECT_EQ(flushes, 2U) << "before each was decoded";
  EXPECT_TRUE(port_.outcomes[1].transcoded());
}

TEST_F(StudySenderTest, TheBufferIsFlushedBeforeWaitingForAPage) {
  AddInstances(8);
  script_.window = 16;
  script_.keeps = true;
  grant_.mutable_first_page()->set_next_index(8);
  wire::Page page;
  *page.mutable_roots() = grant_.first_page().roots();
  *page.add_instances() = MakeInstance(8);
  port_.pages.push_back(page);
  port_.on_fetch = [this] { EXPECT_GE(script_.flushes, 1U); };
  Send();
  EXPECT_EQ(port_.fetched.size(), 1U);
  EXPECT_EQ(port_.outcomes.size(), 9U);
}

TEST_F(StudySenderTest, AStopTakesBackBufferedRequests) {
  AddInstances(8);
  script_.window = 16;
  script_.keeps = true;
  int sent = 0;
  script_.on_store = [&] {
    if (++sent == 3) port_.stop_after = 0;
  };
  EXPECT_EQ(Send().reason(), wire::GiveBack::DRAINING);
  EXPECT_TRUE(script_.stored.empty());
  EXPECT_TRUE(port_.outcomes.empty());
}

}  // namespace
}  // namespace dicom_sender
