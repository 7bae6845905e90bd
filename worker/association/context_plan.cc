#include "worker/association/context_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "dicom/transfer_syntax.h"

namespace dicom_sender {
namespace {

struct ClassNeeds {
  std::string sop_class_uid;
  std::vector<std::string> transfer_syntaxes;  // distinct
};

std::vector<ClassNeeds> BySopClass(const std::vector<ContextNeed>& needs) {
  std::vector<ClassNeeds> classes;
  std::map<std::string, std::size_t> places;
  for (const ContextNeed& need : needs) {
    const auto [place, is_new] = places.try_emplace(need.sop_class_uid, classes.size());
    if (is_new) classes.push_back({need.sop_class_uid, {}});
    auto& syntaxes = classes[place->second].transfer_syntaxes;
    if (std::find(syntaxes.begin(), syntaxes.end(), need.transfer_syntax_uid) == syntaxes.end()) {
      syntaxes.push_back(need.transfer_syntax_uid);
    }
  }
  return classes;
}

// The uncompressed syntaxes that are not in `own`.
std::vector<std::string> Fallback(const std::vector<std::string>& own) {
  std::vector<std::string> fallback;
  for (const std::string_view syntax : {kExplicitVrLittleEndian, kImplicitVrLittleEndian}) {
    if (std::find(own.begin(), own.end(), syntax) == own.end()) fallback.emplace_back(syntax);
  }
  return fallback;
}

// Splits a class with more syntaxes than one association can have. Each part has room for the fallback.
std::vector<ClassNeeds> Split(const ClassNeeds& needs) {
  constexpr std::size_t kOwnMax = kContextsMax - 1;
  std::vector<ClassNeeds> parts;
  for (std::size_t from = 0; from < needs.transfer_syntaxes.size(); from += kOwnMax) {
    const auto begin = needs.transfer_syntaxes.begin() + static_cast<std::ptrdiff_t>(from);
    const std::size_t size = std::min(kOwnMax, needs.transfer_syntaxes.size() - from);
    parts.push_back({needs.sop_class_uid, {begin, begin + static_cast<std::ptrdiff_t>(size)}});
  }
  return parts;
}

std::string RefusalText(const ContextAnswer& answer) {
  if (!answer.refusal.empty()) return answer.refusal;
  switch (answer.result) {
    case ContextResult::kAbstractSyntaxNotSupported:
      return "abstract syntax not supported";
    case ContextResult::kTransferSyntaxesNotSupported:
      return "transfer syntaxes not supported";
    case ContextResult::kUserRejected:
      return "user rejection";
    default:
      return "no reason given";
  }
}

}  // namespace

ContextPlan::ContextPlan(const std::vector<ContextNeed>& needs) {
  for (const ClassNeeds& whole : BySopClass(needs)) {
    for (const ClassNeeds& part : Split(whole)) {
      const std::vector<std::string> fallback = Fallback(part.transfer_syntaxes);
      const std::size_t count = part.transfer_syntaxes.size() + (fallback.empty() ? 0 : 1);
      if (associations_.empty() || associations_.back().size() + count > kContextsMax) associations_.emplace_back();
      auto& contexts = associations_.back();
      const auto propose = [&](std::vector<std::string> syntaxes) {
        const auto id = static_cast<std::uint8_t>(2 * contexts.size() + 1);
        contexts.push_back({id, part.sop_class_uid, std::move(syntaxes)});
      };
      for (const std::string& syntax : part.transfer_syntaxes) {
        propose({syntax});
        places_[{part.sop_class_uid, syntax}] = associations_.size() - 1;
      }
      if (!fallback.empty()) propose(fallback);
    }
  }
}

std::optional<std::size_t> ContextPlan::AssociationOf(const std::string& sop_class_uid,
                                                      const std::string& transfer_syntax_uid) const {
  const auto place = places_.find({sop_class_uid, transfer_syntax_uid});
  return place == places_.end() ? std::nullopt : std::optional(place->second);
}

tl::expected<ContextChoice, std::string> ChooseContext(const std::vector<ProposedContext>& proposed,
                                                       const std::vector<ContextAnswer>& answers,
                                                       std::string_view sop_class_uid,
                                                       std::string_view transfer_syntax_uid,
                                                       const std::function<bool(std::string_view)>& can_decode) {
  std::optional<ContextChoice> best;
  const ContextAnswer* refusal = nullptr;
  for (std::size_t i = 0; i < std::min(proposed.size(), answers.size()); ++i) {
    if (proposed[i].abstract_syntax != sop_class_uid) continue;
    const ContextAnswer& answer = answers[i];
    if (answer.result != ContextResult::kAccepted) {
      if (refusal == nullptr) refusal = &answer;
      continue;
    }
    if (answer.transfer_syntax == transfer_syntax_uid) return ContextChoice{answer.id, answer.transfer_syntax, false};
    const bool is_explicit = answer.transfer_syntax == kExplicitVrLittleEndian;
    if (!is_explicit && (best || answer.transfer_syntax != kImplicitVrLittleEndian)) continue;
    best = ContextChoice{answer.id, answer.transfer_syntax, true};
  }
  if (best && can_decode(transfer_syntax_uid)) return *best;
  if (best) {
    return tl::unexpected(fmt::format(
        "the destination does not accept transfer syntax {}, which cannot be decoded here", transfer_syntax_uid));
  }
  return tl::unexpected(fmt::format(
      "the destination accepts SOP class {} neither in transfer syntax {} nor uncompressed: {}", sop_class_uid,
      transfer_syntax_uid, refusal == nullptr ? std::string("it was not proposed") : RefusalText(*refusal)));
}

}  // namespace dicom_sender
