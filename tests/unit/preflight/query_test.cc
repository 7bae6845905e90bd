#include "preflight/query.h"

#include <gmock/gmock.h>

#include "tests/unit/preflight/scripted_destination.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

const std::string kJpeg = "1.2.840.10008.1.2.4.50";

bool Proposes(const AssociationRequest& request, const std::string& sop_class) {
  return request.contexts[0].abstract_syntax == sop_class;
}

class QueryTest : public testing::Test {
 protected:
  tl::expected<DestinationAnswers, QueryFailure> Ask(const std::vector<ContextNeeds>& kinds) {
    AssociationRequest request;
    request.async_window = 16;
    return AskDestination(kinds, request, destination_.associate());
  }

  ScriptedDestination destination_;
};

TEST_F(QueryTest, RequestsThePlanOfEachKindAndReleasesIt) {
  destination_.accepts = [](const std::string& sop_class, const std::string&) { return sop_class == "1.1"; };
  const auto answers = Ask({{{"1.1", kJpeg}}, {{"1.2", kJpeg}}});
  ASSERT_TRUE(answers) << answers.error().reason;
  EXPECT_EQ(answers->associations, 2U);
  EXPECT_EQ(destination_.released, 2);
  ASSERT_EQ(destination_.requests.size(), 2U);
  EXPECT_EQ(destination_.requests[0].contexts, ContextPlan({{"1.1", kJpeg}}).associations()[0]);
  EXPECT_EQ(destination_.requests[0].async_window, 1) << "no window is proposed";
  EXPECT_EQ(answers->by_kind[0][0].value()[0].result, ContextResult::kAccepted);
  EXPECT_EQ(answers->by_kind[1][0].value()[0].result, ContextResult::kTransferSyntaxesNotSupported);
}

TEST_F(QueryTest, ARejectedKindDoesNotAffectOthers) {
  const auto answers_for = [&](AssociationFailureKind kind) {
    destination_.fails = [kind](const AssociationRequest& request) -> std::optional<AssociationFailure> {
      if (!Proposes(request, "1.1")) return std::nullopt;
      return AssociationFailure{.kind = kind, .reason = "trouble", .connected = true};
    };
    return Ask({{{"1.1", kJpeg}}, {{"1.2", kJpeg}}});
  };
  auto answers = answers_for(AssociationFailureKind::kAborted);
  ASSERT_TRUE(answers) << answers.error().reason;
  ASSERT_FALSE(answers->by_kind[0][0]);
  EXPECT_TRUE(answers->by_kind[0][0].error().refused);
  EXPECT_THAT(answers->by_kind[0][0].error().reason, HasSubstr("trouble"));
  EXPECT_TRUE(answers->by_kind[1][0]);
  EXPECT_EQ(destination_.echoes, 1);
  EXPECT_EQ(answers->associations, 2U);

  answers = answers_for(AssociationFailureKind::kRejectedTransient);
  ASSERT_TRUE(answers) << answers.error().reason;
  EXPECT_FALSE(answers->by_kind[0][0].error().refused) << "later it may be accepted";
}

TEST_F(QueryTest, ASilentDestinationEndsTheQuery) {
  AssociationFailure failure{.kind = AssociationFailureKind::kRejectedPermanent, .reason = "who?", .connected = true};
  destination_.fails = [&](const AssociationRequest&) { return std::optional(failure); };
  auto answers = Ask({{{"1.1", kJpeg}}, {{"1.2", kJpeg}}});
  ASSERT_FALSE(answers);
  EXPECT_EQ(answers.error().reason, "who?");
  EXPECT_FALSE(answers.error().cancelled);
  EXPECT_EQ(destination_.requests.size(), 2U) << "the first kind, and a C-ECHO";

  destination_.requests.clear();
  failure = {.kind = AssociationFailureKind::kRefused, .reason = "connection refused"};
  answers = Ask({{{"1.1", kJpeg}}});
  ASSERT_FALSE(answers);
  EXPECT_EQ(destination_.requests.size(), 1U) << "a C-ECHO would fail as well";

  failure = {.kind = AssociationFailureKind::kCancelled, .reason = "stopped"};
  answers = Ask({{{"1.1", kJpeg}}});
  ASSERT_FALSE(answers);
  EXPECT_TRUE(answers.error().cancelled);
}

TEST_F(QueryTest, TheNumberOfAssociationsIsBounded) {
  ContextNeeds needs;
  for (int i = 0; i < 3000; ++i) needs.push_back({"1.2.3." + std::to_string(i), kJpeg});
  const auto answers = Ask({needs, {{"1.1", kJpeg}}});
  ASSERT_TRUE(answers);
  EXPECT_EQ(destination_.requests.size(), kQueryAssociationsMax);
  EXPECT_EQ(answers->associations, kQueryAssociationsMax);
  EXPECT_EQ(answers->by_kind.at(0).size(), kQueryAssociationsMax);
  EXPECT_TRUE(answers->by_kind.at(1).empty());
}

}  // namespace
}  // namespace dicom_sender
