#include "preflight/query.h"

#include <fmt/format.h>

namespace dicom_sender {
namespace {

bool IsRefusal(AssociationFailureKind kind) {
  return kind == AssociationFailureKind::kRejectedPermanent || kind == AssociationFailureKind::kAborted;
}

class Query {
 public:
  Query(AssociationRequest request, const Associate& associate)
      : request_(std::move(request)), associate_(associate) {}

  tl::expected<AssociationAnswer, QueryFailure> Ask(std::vector<ProposedContext> contexts) {
    request_.contexts = std::move(contexts);
    const auto association = associate_(request_);
    if (!association) return WithoutAnswer(association.error());
    AssociationAnswer answer = (*association)->contexts();
    (*association)->Release();
    return answer;
  }

 private:
  tl::expected<AssociationAnswer, QueryFailure> WithoutAnswer(const AssociationFailure& failure) const {
    const bool cancelled = failure.kind == AssociationFailureKind::kCancelled;
    if (cancelled || !failure.connected) return tl::unexpected(QueryFailure{cancelled, failure.reason});
    const Verification echo = Verify(associate_, request_);
    if (!echo.answered) return tl::unexpected(QueryFailure{echo.cancelled, failure.reason});
    return AssociationAnswer(tl::unexpected(
        NoAnswer{IsRefusal(failure.kind),
                 fmt::format("the destination answers a C-ECHO, but not this association: {}", failure.reason)}));
  }

  AssociationRequest request_;
  const Associate& associate_;
};

}  // namespace

tl::expected<DestinationAnswers, QueryFailure> AskDestination(const std::vector<ContextNeeds>& kinds,
                                                              AssociationRequest request,
                                                              const Associate& associate) {
  request.async_window = 1;
  Query query(std::move(request), associate);
  DestinationAnswers answers;
  for (const ContextNeeds& needs : kinds) {
    auto& of_kind = answers.by_kind.emplace_back();
    const ContextPlan plan(needs);
    for (const auto& contexts : plan.associations()) {
      if (answers.associations == kQueryAssociationsMax) break;
      ++answers.associations;
      auto answer = query.Ask(contexts);
      if (!answer) return tl::unexpected(std::move(answer.error()));
      of_kind.push_back(*std::move(answer));
    }
  }
  return answers;
}

}  // namespace dicom_sender
