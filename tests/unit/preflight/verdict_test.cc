#include "preflight/verdict.h"

#include <gmock/gmock.h>

#include "dicom/transfer_syntax.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

const std::string kCt = "1.2.840.10008.5.1.4.1.1.2";
const std::string kMr = "1.2.840.10008.5.1.4.1.1.4";
const std::string kJpeg = "1.2.840.10008.1.2.4.50";
const std::string kMpeg = "1.2.840.10008.1.2.4.100";
const std::string kExplicit(kExplicitVrLittleEndian);

bool Decodes(std::string_view syntax) { return syntax != kMpeg; }

ContextAnswer Accepted(int id, const std::string& syntax) {
  return {static_cast<std::uint8_t>(id), ContextResult::kAccepted, syntax};
}
ContextAnswer Refused(int id, ContextResult why = ContextResult::kTransferSyntaxesNotSupported) {
  return {static_cast<std::uint8_t>(id), why, ""};
}

PairCount Count(const ContextNeed& pair, std::uint64_t instances) {
  PairCount count;
  count.pair.set_sop_class_uid(pair.sop_class_uid);
  count.pair.set_transfer_syntax_uid(pair.transfer_syntax_uid);
  count.instances = instances;
  return count;
}

TEST(Judge, PredictsWhatTheWorkerWouldDoWithEachPair) {
  // Contexts: CT JPEG, CT MPEG, CT uncompressed; MR explicit, MR implicit.
  const ContextNeeds needs = {{kCt, kJpeg}, {kCt, kMpeg}, {kMr, kExplicit}};
  const auto no_mr = ContextResult::kAbstractSyntaxNotSupported;
  Verdicts verdicts = Judge(
      needs, {{{Refused(1), Refused(3), Accepted(5, kExplicit), Refused(7, no_mr), Refused(9, no_mr)}}}, Decodes);
  EXPECT_EQ(verdicts.at(needs[0]), (Verdict{Fate::kDecoded, kExplicit, ""}));
  EXPECT_EQ(verdicts.at(needs[1]).fate, Fate::kRefused);
  EXPECT_THAT(verdicts.at(needs[1]).reason, HasSubstr("cannot be decoded"));
  EXPECT_EQ(verdicts.at(needs[2]).fate, Fate::kRefused);
  EXPECT_THAT(verdicts.at(needs[2]).reason, HasSubstr("abstract syntax not supported"));

  verdicts = Judge(
      needs, {{{Accepted(1, kJpeg), Accepted(3, kMpeg), Refused(5), Accepted(7, kExplicit), Refused(9)}}}, Decodes);
  for (const ContextNeed& need : needs) {
    EXPECT_EQ(verdicts.at(need), (Verdict{Fate::kAsIs, need.transfer_syntax_uid, ""}));
  }
}

TEST(Judge, ARefusedAssociationRefusesOnlyItsPairs) {
  ContextNeeds needs;
  for (int i = 0; i < 100; ++i) needs.push_back({"1.2.3." + std::to_string(i), kJpeg});
  const ContextPlan plan(needs);
  ASSERT_EQ(plan.associations().size(), 2U);
  std::vector<ContextAnswer> first;
  for (const auto& context : plan.associations()[0])
    first.push_back(Accepted(context.id, context.transfer_syntaxes[0]));
  const Verdicts refused = Judge(needs, {{first}, tl::unexpected(NoAnswer{true, "rejected"})}, Decodes);
  EXPECT_EQ(refused.at(needs.front()).fate, Fate::kAsIs);
  EXPECT_EQ(refused.at(needs.back()), (Verdict{Fate::kRefused, "", "rejected"}));
  const Verdicts lost = Judge(needs, {{first}, tl::unexpected(NoAnswer{false, "lost"})}, Decodes);
  EXPECT_EQ(lost.at(needs.back()), (Verdict{Fate::kUnknown, "", "lost"}));
  const Verdicts not_asked = Judge(needs, {{first}}, Decodes);
  EXPECT_EQ(not_asked.at(needs.back()).fate, Fate::kUnknown);
  EXPECT_THAT(not_asked.at(needs.back()).reason, HasSubstr("at most 32 associations"));
}

TEST(OutcomesOf, CountsPairsWhoseVerdictsAgree) {
  const ContextNeed ct{kCt, kJpeg}, mr{kMr, kExplicit}, other{"1.2.3", kJpeg};
  const Verdict as_is{Fate::kAsIs, kJpeg, ""}, refused{Fate::kRefused, "", "no"};
  const auto outcomes =
      OutcomesOf({Count(ct, 3), Count(mr, 4), Count(other, 5)}, {{{ct, as_is}}, {{ct, as_is}, {mr, refused}}});
  ASSERT_TRUE(outcomes);
  ASSERT_EQ(outcomes->size(), 3U);
  EXPECT_EQ((*outcomes)[0].verdict, as_is);
  EXPECT_EQ((*outcomes)[0].instances, 3U);
  EXPECT_EQ((*outcomes)[1].verdict, refused);
  EXPECT_EQ((*outcomes)[2].verdict.fate, Fate::kUnknown) << "it was not proposed";
  EXPECT_FALSE(OutcomesOf({Count(ct, 3)}, {{{ct, as_is}}, {{ct, refused}}}));
}

}  // namespace
}  // namespace dicom_sender
