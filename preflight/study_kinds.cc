#include "preflight/study_kinds.h"

#include <map>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

std::size_t AssociationsFor(const ContextNeeds& needs) { return ContextPlan(needs).associations().size(); }

}  // namespace

ContextNeed ToNeed(const wire::ContextPair& pair) { return {pair.sop_class_uid(), pair.transfer_syntax_uid()}; }

ContextNeeds NeedsOf(LedgerReader& ledger, StudyKey study) {
  ContextNeeds needs;
  for (const auto& pair : ledger.ContextPairs(study, kContextPairsMax)) needs.push_back(ToNeed(pair));
  return needs;
}

StudyKinds FindStudyKinds(LedgerReader& ledger, SessionKey session, const std::vector<PairCount>& pairs) {
  StudyKinds found;
  std::map<ContextNeeds, std::size_t> known;  // the number of associations of each kind
  std::size_t of_all_kinds = 0;
  ForEachStudyToSend(ledger, session, [&](StudyKey, const ContextNeeds& needs) {
    const auto kind = known.find(needs);
    const std::size_t associations = kind != known.end() ? kind->second : AssociationsFor(needs);
    found.associations += associations;
    if (kind != known.end() || found.merged) return;
    known[needs] = associations;
    found.kinds.push_back(needs);
    of_all_kinds += associations;
    found.merged = of_all_kinds > kQueryAssociationsMax;
  });
  if (!found.merged) return found;
  found.kinds.assign(1, {});
  for (const PairCount& pair : pairs) found.kinds[0].push_back(ToNeed(pair.pair));
  return found;
}

}  // namespace dicom_sender
