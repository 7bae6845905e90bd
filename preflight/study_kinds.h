// The kinds of studies in a session. Studies of one kind need the same (SOP class, transfer syntax) pairs, so the
// worker proposes the same presentation contexts for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/ledger/ledger_reader.h"
#include "worker/association/context_plan.h"

namespace dicom_sender {

// The maximum number of associations for the query of a destination.
inline constexpr std::size_t kQueryAssociationsMax = 32;

using ContextNeeds = std::vector<ContextNeed>;

struct StudyKinds {
  // In the order in which they were found. If the plans of all kinds need more than kQueryAssociationsMax
  // associations, the kinds are merged into a single one with the pairs of all of them.
  std::vector<ContextNeeds> kinds;
  bool merged = false;
  std::uint64_t associations = 0;  // the minimum for sending the studies
};

// Considers the instances to send.
StudyKinds FindStudyKinds(LedgerReader& ledger, SessionKey session, const std::vector<PairCount>& pairs);

ContextNeed ToNeed(const wire::ContextPair& pair);
ContextNeeds NeedsOf(LedgerReader& ledger, StudyKey study);

// Calls `use(study, needs)` for each study that has instances to send. `needs` are those for which the worker plans.
template <typename Use>
void ForEachStudyToSend(LedgerReader& ledger, SessionKey session, Use use) {
  constexpr std::size_t kStudiesPerRead = 1000;
  for (StudyKey after = 0;;) {
    const auto studies = ledger.UnsettledStudies(session, after, kStudiesPerRead);
    if (studies.empty()) return;
    for (const StudyFeed& study : studies) use(study.study, NeedsOf(ledger, study.study));
    after = studies.back().study;
  }
}

}  // namespace dicom_sender
