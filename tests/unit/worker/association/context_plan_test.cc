#include "worker/association/context_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dicom/transfer_syntax.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kCt = "1.2.840.10008.5.1.4.1.1.2";
const std::string kMr = "1.2.840.10008.5.1.4.1.1.4";
const std::string kImplicit(kImplicitVrLittleEndian);
const std::string kExplicit(kExplicitVrLittleEndian);
const std::string kJpeg = "1.2.840.10008.1.2.4.50";
const std::string kRle = "1.2.840.10008.1.2.5";

TEST(ContextPlan, EachPairHasItsOwnContextAndEachClassAFallback) {
  const ContextPlan plan({{kCt, kJpeg}, {kMr, kExplicit}, {kCt, kRle}, {kCt, kJpeg}});
  ASSERT_EQ(plan.associations().size(), 1U);
  EXPECT_THAT(plan.associations()[0],
              ElementsAre(ProposedContext{1, kCt, {kJpeg}}, ProposedContext{3, kCt, {kRle}},
                          ProposedContext{5, kCt, {kExplicit, kImplicit}}, ProposedContext{7, kMr, {kExplicit}},
                          ProposedContext{9, kMr, {kImplicit}}));
  EXPECT_EQ(plan.AssociationOf(kCt, kRle), 0U);
  EXPECT_EQ(plan.AssociationOf(kCt, kExplicit), std::nullopt) << "the study does not need it";
}

TEST(ContextPlan, NoFallbackIfBothUncompressedSyntaxesAreProposed) {
  const ContextPlan plan({{kCt, kImplicit}, {kCt, kExplicit}});
  EXPECT_THAT(plan.associations()[0],
              ElementsAre(ProposedContext{1, kCt, {kImplicit}}, ProposedContext{3, kCt, {kExplicit}}));
}

TEST(ContextPlan, NothingToSendNeedsNoAssociation) { EXPECT_TRUE(ContextPlan({}).associations().empty()); }

TEST(ContextPlan, UsesFurtherAssociationsAbove128AndKeepsAClassTogether) {
  std::vector<ContextNeed> needs;
  for (int i = 0; i < 100; ++i) needs.push_back({"1.2.3." + std::to_string(i), kJpeg});
  const ContextPlan plan(needs);
  ASSERT_EQ(plan.associations().size(), 2U);
  EXPECT_EQ(plan.associations()[0].size(), 128U);
  EXPECT_EQ(plan.associations()[1].size(), 72U);
  EXPECT_EQ(plan.associations()[0].back().id, 255);
  EXPECT_EQ(plan.associations()[1].front().id, 1);
  for (const ContextNeed& need : needs) {
    const auto place = plan.AssociationOf(need.sop_class_uid, need.transfer_syntax_uid);
    ASSERT_TRUE(place);
    int of_class = 0;
    for (const auto& context : plan.associations()[*place]) of_class += context.abstract_syntax == need.sop_class_uid;
    EXPECT_EQ(of_class, 2) << "its own and the fallback";
  }
}

TEST(ContextPlan, OneClassWithMoreSyntaxesThanAnAssociationAllows) {
  std::vector<ContextNeed> needs;
  for (int i = 0; i < 200; ++i) needs.push_back({kCt, "1.9." + std::to_string(i)});
  const ContextPlan plan(needs);
  ASSERT_EQ(plan.associations().size(), 2U);
  for (const auto& contexts : plan.associations()) {
    EXPECT_LE(contexts.size(), kContextsMax);
    EXPECT_THAT(contexts.back().transfer_syntaxes, ElementsAre(kExplicit, kImplicit));
  }
}

std::vector<ContextAnswer> Answers(const std::vector<std::pair<ContextResult, std::string>>& answers) {
  std::vector<ContextAnswer> out;
  for (const auto& [result, syntax] : answers) {
    out.push_back({static_cast<std::uint8_t>(2 * out.size() + 1), result, syntax});
  }
  return out;
}
bool Decodes(std::string_view) { return true; }
bool DecodesNothing(std::string_view) { return false; }
constexpr auto kAccepted = ContextResult::kAccepted;

TEST(ChooseContext, PrefersTheFilesOwnSyntax) {
  const auto proposed = ContextPlan({{kCt, kJpeg}}).associations()[0];
  const auto choice =
      ChooseContext(proposed, Answers({{kAccepted, kJpeg}, {kAccepted, kExplicit}}), kCt, kJpeg, Decodes);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->context_id, 1);
  EXPECT_FALSE(choice->decode);
}

TEST(ChooseContext, RefusedSyntaxesAreDecodedForTheFallback) {
  const auto proposed = ContextPlan({{kCt, kJpeg}}).associations()[0];
  const auto refused = ContextResult::kTransferSyntaxesNotSupported;
  const auto choice = ChooseContext(proposed, Answers({{refused, ""}, {kAccepted, kImplicit}}), kCt, kJpeg, Decodes);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->context_id, 3);
  EXPECT_EQ(choice->transfer_syntax, kImplicit);
  EXPECT_TRUE(choice->decode);
}

TEST(ChooseContext, ExplicitComesBeforeImplicit) {
  const auto proposed = ContextPlan({{kCt, kJpeg}, {kCt, kImplicit}}).associations()[0];
  const auto refused = ContextResult::kTransferSyntaxesNotSupported;
  const auto choice = ChooseContext(
      proposed, Answers({{refused, ""}, {kAccepted, kImplicit}, {kAccepted, kExplicit}}), kCt, kJpeg, Decodes);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->transfer_syntax, kExplicit);
}

TEST(ChooseContext, IgnoresContextsOfOtherClasses) {
  const auto proposed = ContextPlan({{kCt, kExplicit}, {kMr, kExplicit}}).associations()[0];
  const auto refused = ContextResult::kAbstractSyntaxNotSupported;
  const auto answers = Answers({{refused, ""}, {refused, ""}, {kAccepted, kExplicit}, {kAccepted, kImplicit}});
  const auto choice = ChooseContext(proposed, answers, kCt, kExplicit, Decodes);
  ASSERT_FALSE(choice);
  EXPECT_THAT(choice.error(), HasSubstr("abstract syntax not supported"));
  EXPECT_THAT(choice.error(), HasSubstr(kCt));
}

TEST(ChooseContext, ReportsASyntaxThatCannotBeDecoded) {
  const auto proposed = ContextPlan({{kCt, kJpeg}}).associations()[0];
  const auto refused = ContextResult::kTransferSyntaxesNotSupported;
  const auto choice =
      ChooseContext(proposed, Answers({{refused, ""}, {kAccepted, kExplicit}}), kCt, kJpeg, DecodesNothing);
  ASSERT_FALSE(choice);
  EXPECT_THAT(choice.error(), HasSubstr("cannot be decoded"));
}

TEST(ChooseContext, ReportsWhyAnAcceptedContextIsUnusable) {
  const auto proposed = ContextPlan({{kCt, kExplicit}}).associations()[0];
  auto answers = Answers({{ContextResult::kTransferSyntaxesNotSupported, ""}});
  answers[0].refusal = "accepted with transfer syntax '1.2.3', which was not proposed";
  const auto choice = ChooseContext(proposed, answers, kCt, kExplicit, Decodes);
  ASSERT_FALSE(choice);
  EXPECT_THAT(choice.error(), HasSubstr("accepted with transfer syntax '1.2.3'"));
}

TEST(ChooseContext, ReportsASyntaxThatWasNotProposed) {
  const auto choice = ChooseContext({}, {}, kCt, kJpeg, Decodes);
  ASSERT_FALSE(choice);
  EXPECT_THAT(choice.error(), HasSubstr("not proposed"));
}

}  // namespace
}  // namespace dicom_sender
