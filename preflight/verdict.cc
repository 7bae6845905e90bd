#include "preflight/verdict.h"

#include <fmt/format.h>

namespace dicom_sender {
namespace {

Verdict NotAsked() {
  return {
      Fate::kUnknown, {}, fmt::format("not asked: a dry run opens at most {} associations", kQueryAssociationsMax)};
}

Verdict Chosen(const std::vector<ProposedContext>& proposed, const std::vector<ContextAnswer>& answers,
               const ContextNeed& need, const CanDecodeSyntax& can_decode) {
  auto choice = ChooseContext(proposed, answers, need.sop_class_uid, need.transfer_syntax_uid, can_decode);
  if (!choice) return {Fate::kRefused, {}, std::move(choice.error())};
  return {choice->decode ? Fate::kDecoded : Fate::kAsIs, std::move(choice->transfer_syntax), {}};
}

}  // namespace

std::string_view NameOf(Fate fate) {
  switch (fate) {
    case Fate::kAsIs:
      return "as_is";
    case Fate::kDecoded:
      return "decoded";
    case Fate::kRefused:
      return "refused";
    case Fate::kUnknown:
      break;
  }
  return "unknown";
}

Verdicts Judge(const ContextNeeds& needs, const std::vector<AssociationAnswer>& answers,
               const CanDecodeSyntax& can_decode) {
  const ContextPlan plan(needs);
  Verdicts verdicts;
  for (const ContextNeed& need : needs) {
    const std::size_t place = plan.AssociationOf(need.sop_class_uid, need.transfer_syntax_uid).value();
    if (place >= answers.size()) {
      verdicts[need] = NotAsked();
    } else if (const AssociationAnswer& answer = answers[place]; answer) {
      verdicts[need] = Chosen(plan.associations()[place], *answer, need, can_decode);
    } else {
      verdicts[need] = {answer.error().refused ? Fate::kRefused : Fate::kUnknown, {}, answer.error().reason};
    }
  }
  return verdicts;
}

Verdict VerdictOn(const ContextNeed& pair, const Verdicts& verdicts) {
  const auto verdict = verdicts.find(pair);
  return verdict == verdicts.end() ? NotAsked() : verdict->second;
}

std::optional<std::vector<PairOutcome>> OutcomesOf(const std::vector<PairCount>& pairs,
                                                   const std::vector<Verdicts>& by_kind) {
  std::vector<PairOutcome> outcomes;
  for (const PairCount& count : pairs) {
    PairOutcome& outcome = outcomes.emplace_back(PairOutcome{ToNeed(count.pair), NotAsked(), count.instances});
    bool is_first = true;
    for (const Verdicts& verdicts : by_kind) {
      const auto verdict = verdicts.find(outcome.pair);
      if (verdict == verdicts.end()) continue;
      if (!is_first && verdict->second != outcome.verdict) return std::nullopt;
      outcome.verdict = verdict->second;
      is_first = false;
    }
  }
  return outcomes;
}

}  // namespace dicom_sender
