#include "dicom/network/negotiation.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "dicom/network/pdu.h"

namespace dicom_sender {
namespace {

// PS3.7 D.3.3.2: names this implementation; derived from a UUID (PS3.5 B.2).
constexpr std::string_view kImplementationClassUid = "2.25.140829010783122556701714895298659211911";
constexpr std::string_view kImplementationVersion = "DICOM_SENDER";
// Longer fragments save nothing, and few destinations have been tested with them.
constexpr std::uint32_t kSendPduBytesMax = 1U << 20;
constexpr std::uint32_t kPeerPduBytesMin = kPdvHeaderBytes + 2;  // with less, no fragment fits

AssociationFailureKind ToAssociationKind(ConnectionProblem problem) {
  switch (problem) {
    case ConnectionProblem::kTimedOut:
      return AssociationFailureKind::kTimedOut;
    case ConnectionProblem::kCancelled:
      return AssociationFailureKind::kCancelled;
    case ConnectionProblem::kAborted:
      return AssociationFailureKind::kAborted;
    case ConnectionProblem::kProtocolError:
      return AssociationFailureKind::kProtocolError;
    default:
      return AssociationFailureKind::kConnectionLost;
  }
}

tl::unexpected<AssociationFailure> Refuse(AssociationFailureKind kind, std::string reason) {
  const bool permanent =
      kind == AssociationFailureKind::kInvalidRequest || kind == AssociationFailureKind::kRejectedPermanent;
  return tl::unexpected(AssociationFailure{kind, permanent, std::move(reason)});
}

// PS3.8 table 9-21. Congestion and limits (source 3) are temporary, whatever the result field says.
AssociationFailure RejectedBy(const AssociateReject& reject) {
  const bool transient = reject.result == kRejectResultTransient || reject.source == kRejectSourcePresentation;
  return {.kind = transient ? AssociationFailureKind::kRejectedTransient : AssociationFailureKind::kRejectedPermanent,
          .permanent = !transient,
          .reason = DescribeReject(reject),
          .explained = !transient && reject.reason != kRejectNoReason};
}

// Returns the first rule that the request breaks, or an empty string.
std::string WrongIn(const AssociationRequest& request) {
  for (const std::string& title : {request.called_ae, request.calling_ae}) {
    if (title.empty() || title.size() > kAeTitleBytesMax) return "an AE title has 1 to 16 characters";
  }
  if (request.contexts.empty() || request.contexts.size() > kContextsMax) {
    return fmt::format("{} presentation contexts, not 1 to {}", request.contexts.size(), kContextsMax);
  }
  for (std::size_t i = 0; i < request.contexts.size(); ++i) {
    const ProposedContext& context = request.contexts[i];
    if (context.id != 2 * i + 1) return "presentation context ids are not 1, 3, 5, ...";
    if (context.transfer_syntaxes.empty() || context.transfer_syntaxes.size() > kSyntaxesMax) {
      return fmt::format("context {} has {} transfer syntaxes", context.id, context.transfer_syntaxes.size());
    }
    const auto wrong_uid = [](const std::string& uid) { return uid.empty() || uid.size() > kUidBytesMax; };
    if (wrong_uid(context.abstract_syntax) || std::ranges::any_of(context.transfer_syntaxes, wrong_uid)) {
      return fmt::format("context {} has a UID that is empty or too long", context.id);
    }
  }
  if (request.max_pdu_bytes < kPduBytesMin || request.max_pdu_bytes > kPduBytesMax) {
    return fmt::format("max PDU is not {} to {}", kPduBytesMin, kPduBytesMax);
  }
  if (request.async_window < 1 || request.async_window > kAsyncWindowMax) {
    return fmt::format("the asynchronous operations window is not 1 to {}", kAsyncWindowMax);
  }
  return {};
}

// We cannot send in a transfer syntax that we did not propose. Such a context counts as refused; the others are used.
void RefuseUnlessProposed(ContextAnswer& answer, const std::vector<std::string>& proposed, Remarks& ignored) {
  if (answer.result != ContextResult::kAccepted) return;
  if (std::ranges::find(proposed, answer.transfer_syntax) != proposed.end()) return;
  answer.refusal = answer.transfer_syntax.empty()
                       ? "accepted without a transfer syntax"
                       : fmt::format("accepted with transfer syntax '{}', which was not proposed",
                                     PrintableText(answer.transfer_syntax));
  answer.result = ContextResult::kTransferSyntaxesNotSupported;
  answer.transfer_syntax.clear();
  ignored.Add("a presentation context that is " + answer.refusal);
}

// Gives every proposed context its answer.
std::vector<ContextAnswer> MatchAnswers(const std::vector<ProposedContext>& proposed,
                                        const std::vector<ContextAnswer>& answers, Remarks& ignored) {
  std::vector<ContextAnswer> matched(proposed.size());
  for (std::size_t i = 0; i < proposed.size(); ++i) matched[i].id = proposed[i].id;
  for (const ContextAnswer& answer : answers) {
    const std::size_t index = answer.id / 2;  // ids are 1, 3, 5, ...
    if (index >= proposed.size()) {
      ignored.Add("an answer to a presentation context that was not proposed");
      continue;
    }
    matched[index] = answer;
    RefuseUnlessProposed(matched[index], proposed[index].transfer_syntaxes, ignored);
  }
  return matched;
}

// The first number of the answer is how many operations we may invoke (PS3.7 D.3.3.3.2); 0 means no limit.
std::uint16_t GrantedWindow(std::uint16_t proposed, const std::optional<AsyncWindow>& answer) {
  if (!answer) return 1;
  if (answer->invoked_max == 0) return proposed;
  return std::min(proposed, answer->invoked_max);
}

tl::expected<Negotiated, AssociationFailure> Accepted(ByteView body, const AssociationRequest& request,
                                                      Remarks& ignored) {
  const auto accept = DecodeAssociateAccept(body, ignored);
  if (!accept) return Refuse(AssociationFailureKind::kProtocolError, "protocol error: " + accept.error());
  Negotiated result;
  result.contexts = MatchAnswers(request.contexts, accept->contexts, ignored);
  result.peer_max_pdu_bytes = accept->user.max_pdu_bytes;
  result.window = GrantedWindow(request.async_window, accept->user.async_window);
  const std::uint32_t allowed = result.peer_max_pdu_bytes == 0 ? request.max_pdu_bytes : result.peer_max_pdu_bytes;
  if (allowed < kPeerPduBytesMin) {
    return Refuse(AssociationFailureKind::kProtocolError,
                  fmt::format("protocol error: the destination takes PDUs of {} bytes only", allowed));
  }
  // Even, so that no value is cut inside a 16 bit word.
  result.fragment_bytes_max = (std::min(allowed, kSendPduBytesMax) - std::uint32_t{kPdvHeaderBytes}) & ~1U;
  return result;
}

}  // namespace

tl::expected<void, AssociationFailure> CheckAssociationRequest(const AssociationRequest& request) {
  if (std::string wrong = WrongIn(request); !wrong.empty()) {
    return Refuse(AssociationFailureKind::kInvalidRequest, std::move(wrong));
  }
  return {};
}

tl::expected<Negotiated, AssociationFailure> Negotiate(Connection& connection, const AssociationRequest& request,
                                                       Remarks& ignored) {
  connection.set_receive_max(request.max_pdu_bytes);
  AssociateRequest pdu{request.called_ae, request.calling_ae, request.contexts, {}};
  pdu.user.max_pdu_bytes = request.max_pdu_bytes;
  pdu.user.implementation_class_uid = kImplementationClassUid;
  pdu.user.implementation_version = kImplementationVersion;
  // The destination cannot invoke operations on us; 1 is the lowest number that may be sent.
  if (request.async_window > 1) pdu.user.async_window = AsyncWindow{request.async_window, 1};
  const auto sent = connection.Send(EncodeAssociateRequest(pdu), false, request.timeouts.acse);
  if (!sent) return Refuse(ToAssociationKind(sent.error().problem), sent.error().reason);
  const auto answer = connection.Receive(request.timeouts.acse);
  if (!answer) return Refuse(ToAssociationKind(answer.error().problem), answer.error().reason);
  if (answer->type == PduType::kAssociateAccept) return Accepted(answer->body, request, ignored);
  if (answer->type != PduType::kAssociateReject) {
    return Refuse(AssociationFailureKind::kProtocolError,
                  fmt::format("protocol error: PDU of type {:02X}H instead of an answer to A-ASSOCIATE-RQ",
                              static_cast<unsigned>(answer->type)));
  }
  connection.Close();
  const auto reject = DecodeAssociateReject(answer->body);
  if (!reject) return Refuse(AssociationFailureKind::kProtocolError, "protocol error: " + reject.error());
  return tl::unexpected(RejectedBy(*reject));
}

}  // namespace dicom_sender
