// Decides for each SOP class and transfer syntax what would happen to the instances of a session, from the
// destination's answers to the association requests. Follows the worker's rules (worker/association/context_plan.h).
// Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <tuple>
#include <vector>

#include "preflight/study_kinds.h"

namespace dicom_sender {

enum class Fate {
  kAsIs,     // sent as it is on disk
  kDecoded,  // sent uncompressed, because the destination refuses the file's transfer syntax
  kRefused,  // not sent
  kUnknown,  // the destination was not asked, or gave no answer
};
std::string_view NameOf(Fate fate);  // "as_is"

struct Verdict {
  Fate fate = Fate::kUnknown;
  std::string transfer_syntax_uid;  // in which the dataset is sent; empty if it is not sent
  std::string reason;               // one sentence; empty if the dataset is sent

  friend bool operator==(const Verdict&, const Verdict&) = default;
  friend bool operator<(const Verdict& a, const Verdict& b) {
    return std::tie(a.fate, a.transfer_syntax_uid, a.reason) < std::tie(b.fate, b.transfer_syntax_uid, b.reason);
  }
};
using Verdicts = std::map<ContextNeed, Verdict>;

struct NoAnswer {
  bool refused = false;  // the destination rejects or aborts this association but answers others
  std::string reason;
};
using AssociationAnswer = tl::expected<std::vector<ContextAnswer>, NoAnswer>;

using CanDecodeSyntax = std::function<bool(std::string_view transfer_syntax_uid)>;

// Decides for one kind of study. `answers`: those to the associations of ContextPlan(needs), in the same order.
Verdicts Judge(const ContextNeeds& needs, const std::vector<AssociationAnswer>& answers,
               const CanDecodeSyntax& can_decode);

// Returns kUnknown if `verdicts` does not contain the pair.
Verdict VerdictOn(const ContextNeed& pair, const Verdicts& verdicts);

struct PairOutcome {
  ContextNeed pair;
  Verdict verdict;
  std::uint64_t instances = 0;
};
// Returns nullopt if a pair has different verdicts in different kinds of studies, so that its instances must be
// counted study by study.
std::optional<std::vector<PairOutcome>> OutcomesOf(const std::vector<PairCount>& pairs,
                                                   const std::vector<Verdicts>& by_kind);

}  // namespace dicom_sender
