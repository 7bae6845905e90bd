#include "dicom/network/tcp_association.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/read_at.h"
#include "dicom/network/connection.h"
#include "dicom/network/dimse.h"

namespace dicom_sender {
namespace {

// PS3.7 D.3.3.2: names this implementation; derived from a UUID (PS3.5 B.2).
constexpr std::string_view kImplementationClassUid = "2.25.140829010783122556701714895298659211911";
constexpr std::string_view kImplementationVersion = "DICOM_SENDER";
// Fragments longer than this save nothing, and few destinations are tried with them.
constexpr std::uint32_t kSendPduBytesMax = 1U << 20;
// What is read into a buffer, so that instances or fragments share system calls and segments: in a window datasets up
// to this size, and all where the destination takes short PDUs only. For the rest sendfile(2) is faster
// (docs/performance.md).
constexpr std::uint64_t kCopiedBytesMax = 32U << 10;
constexpr std::uint32_t kCopiedFragmentBytesMax = 32 * 1024;
constexpr std::size_t kBufferedBytesMax = 64U << 10;             // before it is sent
constexpr std::uint32_t kPeerPduBytesMin = kPdvHeaderBytes + 2;  // or no fragment fits

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

StoreFailureKind ToStoreKind(ConnectionProblem problem) {
  switch (problem) {
    case ConnectionProblem::kTimedOut:
      return StoreFailureKind::kTimedOut;
    case ConnectionProblem::kCancelled:
      return StoreFailureKind::kCancelled;
    case ConnectionProblem::kAborted:
      return StoreFailureKind::kAborted;
    case ConnectionProblem::kProtocolError:
      return StoreFailureKind::kProtocolError;
    case ConnectionProblem::kFileChanged:
      return StoreFailureKind::kFileChanged;
    case ConnectionProblem::kFileUnreadable:
      return StoreFailureKind::kFileUnreadable;
    case ConnectionProblem::kLost:
      break;
  }
  return StoreFailureKind::kConnectionLost;
}

tl::unexpected<AssociationFailure> Refuse(AssociationFailureKind kind, std::string reason) {
  const bool permanent =
      kind == AssociationFailureKind::kInvalidRequest || kind == AssociationFailureKind::kRejectedPermanent;
  return tl::unexpected(AssociationFailure{kind, permanent, std::move(reason)});
}

// PS3.8 table 9-21. Congestion and limits (source 3) pass, whatever the result says.
AssociationFailure RejectedBy(const AssociateReject& reject) {
  const bool transient = reject.result == kRejectResultTransient || reject.source == kRejectSourcePresentation;
  return {.kind = transient ? AssociationFailureKind::kRejectedTransient : AssociationFailureKind::kRejectedPermanent,
          .permanent = !transient,
          .reason = DescribeReject(reject),
          .explained = !transient && reject.reason != kRejectNoReason};
}

tl::unexpected<ConnectionFailure> ProtocolError(const std::string& reason) {
  return tl::unexpected(ConnectionFailure{ConnectionProblem::kProtocolError, "protocol error: " + reason});
}

// The first rule that the request breaks; empty if none.
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

// Nothing can be sent in a transfer syntax that was not proposed: the context counts as refused, the others are used.
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

// Every proposed context has its answer, in the order of the request.
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

std::size_t HashOf(std::string_view uid) { return std::hash<std::string_view>{}(uid); }

// What we may invoke is the first number, PS3.7 D.3.3.3.2; 0 there is no limit.
std::uint16_t GrantedWindow(std::uint16_t proposed, const std::optional<AsyncWindow>& answer) {
  if (!answer) return 1;
  if (answer->invoked_max == 0) return proposed;
  return std::min(proposed, answer->invoked_max);
}

// While nothing of the instance has been sent.
tl::unexpected<StoreFailure> Spare(StoreFailureKind kind, std::string reason) {
  return tl::unexpected(StoreFailure{kind, true, false, std::move(reason)});
}

tl::unexpected<StoreFailure> Spare(const ConnectionFailure& failure) {
  return Spare(ToStoreKind(failure.problem), failure.reason);
}

ConnectionFailure CannotRead() {
  return {ConnectionProblem::kFileUnreadable, fmt::format("cannot read the file: {}", std::strerror(errno))};
}

ConnectionFailure BecameShorter() { return {ConnectionProblem::kFileChanged, "the file is shorter than it was"}; }

constexpr std::array<std::uint8_t, 1> kZeroByte = {0};

// A part of a dataset that has a PDU of its own.
struct Fragment {
  std::uint64_t begin = 0;
  std::uint32_t size = 0;  // 0: behind the last one
  std::uint32_t padding = 0;
  bool is_last = false;
};

class TcpAssociation final : public Association {
 public:
  TcpAssociation(Connection connection, const AssociationRequest& request, SendingProgress& progress,
                 IgnoredObserver on_ignored)
      : connection_(std::move(connection)),
        timeouts_(request.timeouts),
        own_max_pdu_bytes_(request.max_pdu_bytes),
        progress_(progress),
        on_ignored_(std::move(on_ignored)) {
    connection_.set_receive_max(request.max_pdu_bytes);
  }
  ~TcpAssociation() override { Abort(); }

  // A-ASSOCIATE. The association is usable if this succeeds.
  tl::expected<void, AssociationFailure> Negotiate(const AssociationRequest& request);

  const std::vector<ContextAnswer>& contexts() const override { return contexts_; }
  std::uint32_t peer_max_pdu_bytes() const override { return peer_max_pdu_bytes_; }
  std::uint16_t window() const override { return window_; }
  tl::expected<std::uint16_t, StoreFailure> Send(const StoreRequest& request) override;
  void Flush() override;
  std::vector<std::uint16_t> Unsend() override;
  tl::expected<StoreResponse, StoreFailure> Receive() override;
  tl::expected<std::uint16_t, StoreFailure> Echo(std::uint8_t context_id) override;
  void Release() override;
  void Abort() override;

 private:
  tl::expected<void, AssociationFailure> Accept(ByteView body, const AssociationRequest& request);
  tl::expected<void, StoreFailure> CheckContext(std::uint8_t context_id);
  static tl::expected<void, StoreFailure> CheckRequest(const StoreRequest& request);
  static tl::expected<void, StoreFailure> CheckFile(const DatasetBytes& dataset);
  tl::expected<void, StoreFailure> CheckQuiet();
  void LayCommand(std::uint8_t context_id, Command& command);
  void LayHeader(std::uint8_t context_id, bool is_command, bool is_last, std::uint32_t size);
  ConnectionResult<void> SendLaid(bool more);
  Fragment FirstOf(const DatasetBytes& dataset) const { return NextOf(dataset, {}); }
  Fragment NextOf(const DatasetBytes& dataset, const Fragment& last) const;
  ConnectionResult<void> SendDataset(std::uint8_t context_id, const DatasetBytes& dataset);
  ConnectionResult<void> CopyDataset(std::uint8_t context_id, const DatasetBytes& dataset);
  bool IsCopied(const DatasetBytes& dataset) const;
  Duration SendPatience() const;
  TimePoint ResponseDeadline() const;
  std::uint16_t NextMessageId();
  ConnectionResult<void> SendFragment(const DatasetBytes& dataset, std::uint64_t from, std::uint32_t size);
  ConnectionResult<Command> ReceiveResponse();
  ConnectionResult<bool> CollectNext(TimePoint deadline);
  ConnectionResult<bool> CollectCommand(ByteView body);
  ConnectionResult<void> SkipDataset(const Pdv& pdv);
  ConnectionResult<void> TakeUnasked();
  ConnectionResult<void> SettleRequest(const Command& response);
  bool SkipRepeated(const Command& response);
  void TellIgnored();
  StoreFailure End(const ConnectionFailure& failure);

  Connection connection_;
  const AssociationTimeouts timeouts_;
  const std::uint32_t own_max_pdu_bytes_;
  SendingProgress& progress_;
  std::vector<ContextAnswer> contexts_;
  std::uint32_t peer_max_pdu_bytes_ = 0;
  std::uint32_t fragment_bytes_max_ = 0;
  struct Outstanding {
    std::uint16_t message_id = 0;
    std::uint8_t context_id = 0;
    CommandField field = CommandField::kStoreRequest;
    std::size_t sop_instance_hash = 0;
    std::optional<TimePoint> sent_at;  // nullopt: it is in the buffer
  };
  void RemarkOn(const Command& response, const Outstanding& request);
  std::uint16_t window_ = 1;
  std::vector<Outstanding> outstanding_;  // at most window_, in the order of sending
  std::uint16_t message_id_ = 0;
  std::bitset<0x10000> answered_;          // by message id, until it is used again
  bool inside_pdu_ = false;                // a PDU is sent in part: no other may begin
  bool begun_ = false;                     // something of the last message has been given to the kernel
  std::optional<ConnectionFailure> over_;  // why nothing can be sent or awaited any more
  Bytes laid_;  // whole messages, or the beginning of one, that the kernel has not been given yet
  std::uint64_t laid_dataset_bytes_ = 0;
  // Kept for their memory only: no instance allocates.
  Bytes command_;
  Bytes response_;
  std::uint8_t response_context_ = 0;
  bool inside_response_ = false;     // its last PDV has not come
  bool dataset_may_follow_ = false;  // a response has come, and no dataset after it
  Bytes rest_;                       // of a PDU that holds more than one response
  const IgnoredObserver on_ignored_;
  Remarks ignored_;
  std::size_t told_ignored_ = 0;  // how many of them on_ignored_ has been called with
};

tl::expected<void, AssociationFailure> TcpAssociation::Negotiate(const AssociationRequest& request) {
  AssociateRequest pdu{request.called_ae, request.calling_ae, request.contexts, {}};
  pdu.user.max_pdu_bytes = request.max_pdu_bytes;
  pdu.user.implementation_class_uid = kImplementationClassUid;
  pdu.user.implementation_version = kImplementationVersion;
  // We perform no operations that anybody could invoke: 1 is the least that may be said.
  if (request.async_window > 1) pdu.user.async_window = AsyncWindow{request.async_window, 1};
  const auto sent = connection_.Send(EncodeAssociateRequest(pdu), false, timeouts_.acse);
  if (!sent) return Refuse(ToAssociationKind(sent.error().problem), sent.error().reason);
  const auto answer = connection_.Receive(timeouts_.acse);
  if (!answer) return Refuse(ToAssociationKind(answer.error().problem), answer.error().reason);
  if (answer->type == PduType::kAssociateAccept) return Accept(answer->body, request);
  if (answer->type != PduType::kAssociateReject) {
    return Refuse(AssociationFailureKind::kProtocolError,
                  fmt::format("protocol error: PDU of type {:02X}H instead of an answer to A-ASSOCIATE-RQ",
                              static_cast<unsigned>(answer->type)));
  }
  connection_.Close();
  const auto reject = DecodeAssociateReject(answer->body);
  if (!reject) return Refuse(AssociationFailureKind::kProtocolError, "protocol error: " + reject.error());
  return tl::unexpected(RejectedBy(*reject));
}

tl::expected<void, AssociationFailure> TcpAssociation::Accept(ByteView body, const AssociationRequest& request) {
  const auto accept = DecodeAssociateAccept(body, ignored_);
  if (!accept) return Refuse(AssociationFailureKind::kProtocolError, "protocol error: " + accept.error());
  contexts_ = MatchAnswers(request.contexts, accept->contexts, ignored_);
  TellIgnored();
  peer_max_pdu_bytes_ = accept->user.max_pdu_bytes;
  window_ = GrantedWindow(request.async_window, accept->user.async_window);
  const std::uint32_t allowed = peer_max_pdu_bytes_ == 0 ? own_max_pdu_bytes_ : peer_max_pdu_bytes_;
  if (allowed < kPeerPduBytesMin) {
    return Refuse(AssociationFailureKind::kProtocolError,
                  fmt::format("protocol error: the destination takes PDUs of {} bytes only", allowed));
  }
  // Even, so that no value is cut inside a 16 bit word.
  fragment_bytes_max_ = (std::min(allowed, kSendPduBytesMax) - std::uint32_t{kPdvHeaderBytes}) & ~1U;
  return {};
}

tl::expected<void, StoreFailure> TcpAssociation::CheckContext(std::uint8_t context_id) {
  if (over_) return tl::unexpected(StoreFailure{ToStoreKind(over_->problem), false, false, over_->reason});
  if (!connection_.is_open()) {
    return tl::unexpected(StoreFailure{StoreFailureKind::kConnectionLost, false, false, "association is over"});
  }
  const std::size_t index = context_id / 2;
  if (context_id % 2 == 1 && index < contexts_.size() && contexts_[index].result == ContextResult::kAccepted)
    return {};
  return Spare(StoreFailureKind::kInvalidRequest, fmt::format("presentation context {} is not accepted", context_id));
}

// Before a byte of a large dataset is sent the association can still be spared.
tl::expected<void, StoreFailure> TcpAssociation::CheckFile(const DatasetBytes& dataset) {
  struct stat status {};
  if (fstat(dataset.fd, &status) != 0) return Spare(CannotRead());
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < dataset.offset_bytes || size - dataset.offset_bytes < dataset.size_bytes) return Spare(BecameShorter());
  return {};
}

void TcpAssociation::LayHeader(std::uint8_t context_id, bool is_command, bool is_last, std::uint32_t size) {
  const DataHeader header = EncodeDataHeader(context_id, is_command, is_last, size);
  laid_.insert(laid_.end(), header.begin(), header.end());
}

std::uint16_t TcpAssociation::NextMessageId() {
  do {
    ++message_id_;
  } while (std::ranges::find(outstanding_, message_id_, &Outstanding::message_id) != outstanding_.end());
  answered_.reset(message_id_);
  return message_id_;
}

// Gives the command its message id and lays its PDUs into the buffer, from where they are sent with what follows.
void TcpAssociation::LayCommand(std::uint8_t context_id, Command& command) {
  command.message_id = NextMessageId();
  command_.clear();
  EncodeCommand(command, command_);
  for (ByteView rest = command_; !rest.empty();) {
    const auto size = static_cast<std::uint32_t>(std::min<std::size_t>(rest.size(), fragment_bytes_max_));
    LayHeader(context_id, true, size == rest.size(), size);
    laid_.insert(laid_.end(), rest.begin(), rest.begin() + size);
    rest = rest.subspan(size);
  }
}

// Sends what is laid down. `more`: something follows at once.
ConnectionResult<void> TcpAssociation::SendLaid(bool more) {
  if (laid_.empty()) return {};
  inside_pdu_ = true;
  begun_ = true;
  if (auto sent = connection_.Send(laid_, more, SendPatience()); !sent) return sent;
  inside_pdu_ = false;
  laid_.clear();
  const TimePoint now = MonotonicNow();
  for (Outstanding& request : outstanding_) {
    if (!request.sent_at) request.sent_at = now;
  }
  progress_.bytes_sent.fetch_add(std::exchange(laid_dataset_bytes_, 0), std::memory_order_relaxed);
  return {};
}

// Its fragments by sendfile(2).
ConnectionResult<void> TcpAssociation::SendDataset(std::uint8_t context_id, const DatasetBytes& dataset) {
  for (Fragment fragment = FirstOf(dataset); fragment.size > 0; fragment = NextOf(dataset, fragment)) {
    LayHeader(context_id, false, fragment.is_last, fragment.size + fragment.padding);
    // The kernel joins the headers with the bytes of the file.
    if (auto sent = SendLaid(true); !sent) return sent;
    inside_pdu_ = true;
    if (auto sent = SendFragment(dataset, dataset.offset_bytes + fragment.begin, fragment.size); !sent) return sent;
    if (fragment.padding > 0) {
      if (auto sent = connection_.Send(kZeroByte, false, SendPatience()); !sent) return sent;
    }
    inside_pdu_ = false;
  }
  return {};
}

// Its fragments through the buffer; what is there in the end is not sent yet.
ConnectionResult<void> TcpAssociation::CopyDataset(std::uint8_t context_id, const DatasetBytes& dataset) {
  for (Fragment fragment = FirstOf(dataset); fragment.size > 0; fragment = NextOf(dataset, fragment)) {
    LayHeader(context_id, false, fragment.is_last, fragment.size + fragment.padding);
    const std::size_t at = laid_.size();
    laid_.resize(at + fragment.size + fragment.padding);
    const ssize_t read = ReadAt(dataset.fd, {&laid_[at], fragment.size}, dataset.offset_bytes + fragment.begin);
    if (read < 0) return tl::unexpected(CannotRead());
    if (read < ssize_t{fragment.size}) return tl::unexpected(BecameShorter());
    laid_dataset_bytes_ += fragment.size;
    if (laid_.size() < kBufferedBytesMax) continue;
    if (auto sent = SendLaid(!fragment.is_last); !sent) return sent;
  }
  return {};
}

Fragment TcpAssociation::NextOf(const DatasetBytes& dataset, const Fragment& last) const {
  Fragment next{.begin = last.begin + last.size};
  const std::uint64_t left = dataset.size_bytes - next.begin;
  next.size = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, fragment_bytes_max_));
  next.is_last = next.size == left;
  next.padding = dataset.pad_to_even ? next.size % 2 : 0;  // fragments are even but for the last
  return next;
}

ConnectionResult<void> TcpAssociation::SendFragment(const DatasetBytes& dataset, std::uint64_t from,
                                                    std::uint32_t size) {
  for (std::uint32_t done = 0; done < size;) {
    const auto sent = connection_.SendFile(dataset.fd, from + done, size - done, SendPatience());
    if (!sent) return tl::unexpected(sent.error());
    done += static_cast<std::uint32_t>(*sent);
    progress_.bytes_sent.fetch_add(*sent, std::memory_order_relaxed);
  }
  return {};
}

void TcpAssociation::TellIgnored() {
  for (; told_ignored_ < ignored_.all().size(); ++told_ignored_) {
    if (on_ignored_) on_ignored_(ignored_.all()[told_ignored_]);
  }
}

// No response to a C-STORE or C-ECHO has a dataset. But a PDV says whether it belongs to a dataset or to a command,
// so one that comes all the same can be skipped, whatever the response announced.
ConnectionResult<void> TcpAssociation::SkipDataset(const Pdv& pdv) {
  if (inside_response_ || !dataset_may_follow_) return ProtocolError("a dataset instead of a response");
  dataset_may_follow_ = !pdv.is_last;
  ignored_.Add("a dataset after a response");
  return {};
}

// Appends PDVs to response_. True: it is complete, and what follows in the same P-DATA-TF is in rest_.
ConnectionResult<bool> TcpAssociation::CollectCommand(ByteView body) {
  bool is_complete = false;
  while (!body.empty() && !is_complete) {
    const auto pdv = TakePdv(body);
    if (!pdv) return ProtocolError(pdv.error());
    if (!pdv->is_command) {
      if (auto skipped = SkipDataset(*pdv); !skipped) return tl::unexpected(skipped.error());
      continue;
    }
    if (!std::exchange(inside_response_, true)) {
      response_.clear();
      response_context_ = pdv->context_id;
    }
    if (pdv->context_id != response_context_) return ProtocolError("a response on two contexts");
    if (response_.size() + pdv->data.size() > kCommandBytesMax) return ProtocolError("response is too long");
    response_.insert(response_.end(), pdv->data.begin(), pdv->data.end());
    is_complete = pdv->is_last;
  }
  inside_response_ = inside_response_ && !is_complete;
  rest_.assign(body.begin(), body.end());
  return is_complete;
}

// From rest_, or else from the next PDU.
ConnectionResult<bool> TcpAssociation::CollectNext(TimePoint deadline) {
  if (!rest_.empty()) return CollectCommand(Bytes(std::move(rest_)));
  const auto pdu = connection_.Receive(deadline - MonotonicNow());
  if (!pdu) return tl::unexpected(pdu.error());
  if (pdu->type == PduType::kData) return CollectCommand(pdu->body);
  return ProtocolError(fmt::format("PDU of type {:02X}H instead of a response", static_cast<unsigned>(pdu->type)));
}

// True: it answers a request that has been answered already. The first answer counts.
bool TcpAssociation::SkipRepeated(const Command& response) {
  if (!IsResponse(response.field) || !answered_[response.message_id]) return false;
  ignored_.Add("a response that is repeated");
  return true;
}

// Nothing is outstanding. What has come all the same is taken now, or it could pass for the answer to what is sent
// next.
ConnectionResult<void> TcpAssociation::TakeUnasked() {
  const TimePoint deadline = MonotonicNow() + timeouts_.dimse;
  while (!rest_.empty() || inside_response_ || connection_.HasUnread()) {
    const auto is_complete = CollectNext(deadline);
    if (!is_complete) return tl::unexpected(is_complete.error());
    if (!*is_complete) continue;
    const auto response = DecodeCommand(response_, ignored_);
    if (!response || !SkipRepeated(*response)) return ProtocolError("the destination sent what nobody asked for");
  }
  TellIgnored();
  return {};
}
// The response to one of those outstanding, which it is no longer.
ConnectionResult<Command> TcpAssociation::ReceiveResponse() {
  std::optional<TimePoint> deadline;
  while (true) {
    if (rest_.empty() && !connection_.HasPdu()) {
      if (over_) return tl::unexpected(*over_);
      if (auto sent = SendLaid(false); !sent) return tl::unexpected(sent.error());
    }
    if (!deadline) deadline = ResponseDeadline();
    const auto is_complete = CollectNext(*deadline);
    if (!is_complete) return tl::unexpected(is_complete.error());
    if (!*is_complete) continue;
    auto response = DecodeCommand(response_, ignored_);
    if (!response) return ProtocolError(response.error());
    if (SkipRepeated(*response)) continue;
    if (auto settled = SettleRequest(*response); !settled) return tl::unexpected(settled.error());
    return *std::move(response);
  }
}

// The response's message id says which of those outstanding it answers.
ConnectionResult<void> TcpAssociation::SettleRequest(const Command& response) {
  const auto request = std::ranges::find(outstanding_, response.message_id, &Outstanding::message_id);
  // What is still in the buffer has not been asked, even if the number is right.
  if (request == outstanding_.end() || !request->sent_at) {
    return ProtocolError(fmt::format("response to message {}, which is not outstanding", response.message_id));
  }
  const auto expected = static_cast<std::uint16_t>(static_cast<unsigned>(request->field) | 0x8000U);
  if (static_cast<std::uint16_t>(response.field) != expected) {
    return ProtocolError(
        fmt::format("command {:04X}H instead of {:04X}H", static_cast<std::uint16_t>(response.field), expected));
  }
  RemarkOn(response, *request);
  TellIgnored();
  answered_.set(response.message_id);
  dataset_may_follow_ = true;
  outstanding_.erase(request);
  return {};
}

// What contradicts the message id does not matter.
void TcpAssociation::RemarkOn(const Command& response, const Outstanding& request) {
  if (response_context_ != request.context_id) {
    ignored_.Add("a response on another presentation context than its request");
  }
  if (response.has_dataset) ignored_.Add("a response that announces a dataset");
  if (!response.sop_instance_uid.empty() && HashOf(response.sop_instance_uid) != request.sop_instance_hash) {
    ignored_.Add("a response that names another SOP instance than its request");
  }
}

// Of those that wait in turn behind each other for a slow destination, the last one may wait for all.
TimePoint TcpAssociation::ResponseDeadline() const {
  const TimePoint now = MonotonicNow();
  const TimePoint oldest = outstanding_.front().sent_at.value_or(now) + timeouts_.dimse * window_;
  return std::min<TimePoint>(now + timeouts_.dimse, oldest);
}

// While the destination is at other instances it may read nothing for as long as it may take to answer them.
Duration TcpAssociation::SendPatience() const {
  return outstanding_.empty() ? Duration(timeouts_.idle) : std::max<Duration>(timeouts_.idle, timeouts_.dimse);
}

// After any failure on the wire nothing more can be said on this association. What it has said before counts, unless
// it makes no sense.
StoreFailure TcpAssociation::End(const ConnectionFailure& failure) {
  if (!over_) over_ = failure;
  connection_.TakeArrived();
  if (failure.problem == ConnectionProblem::kProtocolError) {
    connection_.ForgetArrived();
    rest_.clear();
  }
  Abort();
  return {ToStoreKind(failure.problem), false, true, failure.reason};
}

tl::expected<void, StoreFailure> TcpAssociation::CheckRequest(const StoreRequest& request) {
  for (const std::string_view uid : {request.sop_class_uid, request.sop_instance_uid}) {
    if (uid.empty() || uid.size() > kUidBytesMax) {
      return Spare(StoreFailureKind::kInvalidRequest, "a SOP class or instance UID is empty or too long");
    }
  }
  if (request.dataset.size_bytes == 0) return Spare(StoreFailureKind::kInvalidRequest, "the dataset is empty");
  return {};
}

// While a response is outstanding, something may come at any time; otherwise nothing of consequence may.
tl::expected<void, StoreFailure> TcpAssociation::CheckQuiet() {
  if (!outstanding_.empty()) return {};
  auto quiet = connection_.CheckQuiet();
  if (quiet) quiet = TakeUnasked();
  if (quiet) return {};
  StoreFailure failure = End(quiet.error());
  failure.instance_touched = false;
  return tl::unexpected(std::move(failure));
}

bool TcpAssociation::IsCopied(const DatasetBytes& dataset) const {
  if (window_ > 1 && dataset.size_bytes <= kCopiedBytesMax) return true;
  return dataset.size_bytes > fragment_bytes_max_ && fragment_bytes_max_ <= kCopiedFragmentBytesMax;
}

tl::expected<std::uint16_t, StoreFailure> TcpAssociation::Send(const StoreRequest& request) {
  assert(over_ || outstanding_.size() < window_);
  const DatasetBytes& dataset = request.dataset;
  const bool copied = IsCopied(dataset);
  if (auto checked = CheckContext(request.context_id); !checked) return tl::unexpected(checked.error());
  if (auto checked = CheckRequest(request); !checked) return tl::unexpected(checked.error());
  if (!copied || dataset.size_bytes > kCopiedBytesMax) {
    if (auto checked = CheckFile(dataset); !checked) return tl::unexpected(checked.error());
  }
  if (auto quiet = CheckQuiet(); !quiet) return tl::unexpected(quiet.error());
  Command command;
  command.field = CommandField::kStoreRequest;
  command.has_dataset = true;
  command.sop_class_uid = request.sop_class_uid;
  command.sop_instance_uid = request.sop_instance_uid;
  const std::size_t begin = laid_.size();
  const std::uint64_t dataset_bytes = laid_dataset_bytes_;
  begun_ = false;
  LayCommand(request.context_id, command);
  const auto sent = copied ? CopyDataset(request.context_id, dataset) : SendDataset(request.context_id, dataset);
  if (!sent && !begun_) {  // the file's doing
    laid_.resize(begin);
    laid_dataset_bytes_ = dataset_bytes;
    return Spare(sent.error());
  }
  if (!sent) return tl::unexpected(End(sent.error()));
  // One that has begun is finished.
  if (window_ == 1 || begun_) {
    if (auto flushed = SendLaid(false); !flushed) return tl::unexpected(End(flushed.error()));
  }
  outstanding_.push_back(
      {command.message_id, request.context_id, command.field, HashOf(request.sop_instance_uid), {}});
  if (laid_.empty()) outstanding_.back().sent_at = MonotonicNow();
  return command.message_id;
}

void TcpAssociation::Flush() {
  if (over_) return;
  if (auto sent = SendLaid(false); !sent) End(sent.error());
}

std::vector<std::uint16_t> TcpAssociation::Unsend() {
  std::vector<std::uint16_t> ids;
  for (const Outstanding& request : outstanding_) {
    if (!request.sent_at) ids.push_back(request.message_id);
  }
  std::erase_if(outstanding_, [](const Outstanding& request) { return !request.sent_at; });
  laid_.clear();
  laid_dataset_bytes_ = 0;
  return ids;
}

tl::expected<StoreResponse, StoreFailure> TcpAssociation::Receive() {
  assert(!outstanding_.empty());
  auto response = ReceiveResponse();
  if (!response && !over_) {
    const StoreFailure failure = End(response.error());
    response = ReceiveResponse();  // that had arrived
    if (!response) return tl::unexpected(failure);
  }
  if (!response) return tl::unexpected(End(response.error()));
  return StoreResponse{response->message_id, response->status, PrintableText(response->error_comment)};
}

tl::expected<std::uint16_t, StoreFailure> TcpAssociation::Echo(std::uint8_t context_id) {
  assert(over_ || outstanding_.empty());
  if (auto checked = CheckContext(context_id); !checked) return tl::unexpected(checked.error());
  Command command;
  command.field = CommandField::kEchoRequest;
  command.sop_class_uid = kVerificationSopClass;
  LayCommand(context_id, command);
  outstanding_.push_back({command.message_id, context_id, command.field, 0, {}});
  const auto response = ReceiveResponse();
  if (!response) return tl::unexpected(End(response.error()));
  return response->status;
}

void TcpAssociation::Release() {
  if (!connection_.is_open()) return;
  if (!connection_.Send(EncodeReleaseRequest(), false, timeouts_.acse)) return Abort();
  const TimePoint deadline = MonotonicNow() + timeouts_.acse;
  while (true) {
    const auto pdu = connection_.Receive(deadline - MonotonicNow());
    if (!pdu) return Abort();
    if (pdu->type == PduType::kReleaseResponse) break;
    if (pdu->type == PduType::kData) continue;  // everything has been answered
    // Both asked at once: the requestor answers, then waits for its own answer (PS3.8 9.2.3, Sta9).
    if (pdu->type != PduType::kReleaseRequest) return Abort();
    if (!connection_.Send(EncodeReleaseResponse(), false, timeouts_.acse)) return Abort();
  }
  connection_.Close();
}

void TcpAssociation::Abort() {
  if (!connection_.is_open()) return;
  // Inside a PDU an A-ABORT would be taken for bytes of the dataset, and could even complete it.
  if (inside_pdu_) return connection_.Reset();
  connection_.TrySend(EncodeAbort({0, 0}));
  connection_.Close();
}

}  // namespace

tl::expected<std::unique_ptr<Association>, AssociationFailure> RequestAssociation(const AssociationRequest& request,
                                                                                  SendingProgress& progress,
                                                                                  const WakeEvent* cancel,
                                                                                  IgnoredObserver on_ignored) {
  if (std::string wrong = WrongIn(request); !wrong.empty()) {
    return Refuse(AssociationFailureKind::kInvalidRequest, std::move(wrong));
  }
  auto connection = Connection::Connect(request.host, request.port, request.timeouts.connect, progress, cancel);
  if (!connection) return tl::unexpected(connection.error());
  auto association =
      std::make_unique<TcpAssociation>(std::move(*connection), request, progress, std::move(on_ignored));
  if (auto negotiated = association->Negotiate(request); !negotiated) {
    negotiated.error().connected = true;
    return tl::unexpected(std::move(negotiated.error()));
  }
  return association;
}

}  // namespace dicom_sender
