#include "dicom/network/tcp_association.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <bitset>
#include <cassert>
#include <utility>

#include "dicom/network/connection.h"
#include "dicom/network/dimse.h"
#include "dicom/network/message_writer.h"
#include "dicom/network/negotiation.h"
#include "dicom/network/response_reader.h"

namespace dicom_sender {
namespace {

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

// The failure of an instance of which nothing has been sent: the association stays usable.
tl::unexpected<StoreFailure> Spare(StoreFailureKind kind, std::string reason) {
  return tl::unexpected(StoreFailure{kind, true, false, std::move(reason)});
}

tl::unexpected<StoreFailure> Spare(const ConnectionFailure& failure) {
  return Spare(ToStoreKind(failure.problem), failure.reason);
}

std::size_t HashOf(std::string_view uid) { return std::hash<std::string_view>{}(uid); }

class TcpAssociation final : public Association {
 public:
  TcpAssociation(Connection connection, const AssociationRequest& request, Negotiated negotiated,
                 SendingProgress& progress, IgnoredObserver on_ignored, Remarks ignored)
      : connection_(std::move(connection)),
        timeouts_(request.timeouts),
        contexts_(std::move(negotiated.contexts)),
        peer_max_pdu_bytes_(negotiated.peer_max_pdu_bytes),
        window_(negotiated.window),
        on_ignored_(std::move(on_ignored)),
        ignored_(std::move(ignored)),
        told_ignored_(ignored_.all().size()),
        writer_(connection_, progress, negotiated.fragment_bytes_max, negotiated.window),
        reader_(connection_, ignored_) {}
  ~TcpAssociation() override { Abort(); }

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
  struct Outstanding {
    std::uint16_t message_id = 0;
    std::uint8_t context_id = 0;
    CommandField field = CommandField::kStoreRequest;
    std::size_t sop_instance_hash = 0;
    std::optional<TimePoint> sent_at;  // nullopt: it is in the writer's buffer
  };

  tl::expected<void, StoreFailure> CheckContext(std::uint8_t context_id);
  static tl::expected<void, StoreFailure> CheckRequest(const StoreRequest& request);
  static tl::expected<void, StoreFailure> CheckFile(const DatasetBytes& dataset);
  tl::expected<void, StoreFailure> CheckQuiet();
  std::uint16_t NextMessageId();
  ConnectionResult<void> FlushWriter();
  void NoteFlush();
  Duration SendPatience() const;
  TimePoint ResponseDeadline() const;
  ConnectionResult<Command> ReceiveResponse();
  ConnectionResult<void> TakeUnasked();
  ConnectionResult<void> SettleRequest(const Command& response);
  bool SkipRepeated(const Command& response);
  void RemarkOn(const Command& response, const Outstanding& request);
  void TellIgnored();
  StoreFailure End(const ConnectionFailure& failure);

  Connection connection_;
  const AssociationTimeouts timeouts_;
  const std::vector<ContextAnswer> contexts_;
  const std::uint32_t peer_max_pdu_bytes_;
  const std::uint16_t window_;
  std::vector<Outstanding> outstanding_;  // at most window_, in the order of sending
  std::uint16_t message_id_ = 0;
  std::bitset<0x10000> answered_;          // by message id, until it is used again
  std::optional<ConnectionFailure> over_;  // why the association is over
  const IgnoredObserver on_ignored_;
  Remarks ignored_;
  std::size_t told_ignored_ = 0;  // for how many of them on_ignored_ has been called
  MessageWriter writer_;
  ResponseReader reader_;
};

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

// Until a byte of a large dataset is sent, the association can still be saved.
tl::expected<void, StoreFailure> TcpAssociation::CheckFile(const DatasetBytes& dataset) {
  struct stat status {};
  if (fstat(dataset.fd, &status) != 0) return Spare(CannotRead());
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < dataset.offset_bytes || size - dataset.offset_bytes < dataset.size_bytes) return Spare(BecameShorter());
  return {};
}

std::uint16_t TcpAssociation::NextMessageId() {
  do {
    ++message_id_;
  } while (std::ranges::find(outstanding_, message_id_, &Outstanding::message_id) != outstanding_.end());
  answered_.reset(message_id_);
  return message_id_;
}

ConnectionResult<void> TcpAssociation::FlushWriter() {
  auto sent = writer_.Flush(SendPatience());
  NoteFlush();
  return sent;
}

// Sets the sending time of the messages that were in the buffer.
void TcpAssociation::NoteFlush() {
  const auto flushed_at = writer_.TakeFlushTime();
  if (!flushed_at) return;
  for (Outstanding& request : outstanding_) {
    if (!request.sent_at) request.sent_at = flushed_at;
  }
}

void TcpAssociation::TellIgnored() {
  for (; told_ignored_ < ignored_.all().size(); ++told_ignored_) {
    if (on_ignored_) on_ignored_(ignored_.all()[told_ignored_]);
  }
}

// Returns true for an answer to a request that has been answered already. The first answer counts.
bool TcpAssociation::SkipRepeated(const Command& response) {
  if (!IsResponse(response.field) || !answered_[response.message_id]) return false;
  ignored_.Add("a response that is repeated");
  return true;
}

// Called when nothing is outstanding. Reads unexpected data now, or it could be mistaken for the response to the next
// request.
ConnectionResult<void> TcpAssociation::TakeUnasked() {
  const TimePoint deadline = MonotonicNow() + timeouts_.dimse;
  while (reader_.HasUnread()) {
    const auto is_complete = reader_.Collect(deadline);
    if (!is_complete) return tl::unexpected(is_complete.error());
    if (!*is_complete) continue;
    const auto response = DecodeCommand(reader_.command_set(), ignored_);
    if (!response || !SkipRepeated(*response))
      return ProtocolError("the destination sent data that was not requested");
  }
  TellIgnored();
  return {};
}

// Returns the response to one of the outstanding requests, and removes that request.
ConnectionResult<Command> TcpAssociation::ReceiveResponse() {
  std::optional<TimePoint> deadline;
  while (true) {
    if (!reader_.HasNext()) {
      if (over_) return tl::unexpected(*over_);
      if (auto sent = FlushWriter(); !sent) return tl::unexpected(sent.error());
    }
    if (!deadline) deadline = ResponseDeadline();
    const auto is_complete = reader_.Collect(*deadline);
    if (!is_complete) return tl::unexpected(is_complete.error());
    if (!*is_complete) continue;
    auto response = DecodeCommand(reader_.command_set(), ignored_);
    if (!response) return ProtocolError(response.error());
    if (SkipRepeated(*response)) continue;
    if (auto settled = SettleRequest(*response); !settled) return tl::unexpected(settled.error());
    return *std::move(response);
  }
}

// The response's message id says which of those outstanding it answers.
ConnectionResult<void> TcpAssociation::SettleRequest(const Command& response) {
  const auto request = std::ranges::find(outstanding_, response.message_id, &Outstanding::message_id);
  // A request that is still in the buffer has not been sent, even if its number is in the response.
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
  reader_.AllowDataset();
  outstanding_.erase(request);
  return {};
}

// The message id counts, whatever in the response contradicts it.
void TcpAssociation::RemarkOn(const Command& response, const Outstanding& request) {
  if (reader_.context_id() != request.context_id) {
    ignored_.Add("a response on another presentation context than its request");
  }
  if (response.has_dataset) ignored_.Add("a response that announces a dataset");
  if (!response.sop_instance_uid.empty() && HashOf(response.sop_instance_uid) != request.sop_instance_hash) {
    ignored_.Add("a response that names another SOP instance than its request");
  }
}

// A slow destination may answer the requests in a window one after the other, so the last one may wait for all.
TimePoint TcpAssociation::ResponseDeadline() const {
  const TimePoint now = MonotonicNow();
  const TimePoint oldest = outstanding_.front().sent_at.value_or(now) + timeouts_.dimse * window_;
  return std::min<TimePoint>(now + timeouts_.dimse, oldest);
}

// A destination that is busy with other instances may read nothing for as long as it may take to answer them.
Duration TcpAssociation::SendPatience() const {
  return outstanding_.empty() ? Duration(timeouts_.idle) : std::max<Duration>(timeouts_.idle, timeouts_.dimse);
}

// Ends the association after a failure of the connection. Responses that arrived before still count, unless the
// destination violated the protocol.
StoreFailure TcpAssociation::End(const ConnectionFailure& failure) {
  if (!over_) over_ = failure;
  connection_.TakeArrived();
  if (failure.problem == ConnectionProblem::kProtocolError) {
    connection_.ForgetArrived();
    reader_.Forget();
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

// If no response is outstanding, the destination must not have sent anything but what can be ignored.
tl::expected<void, StoreFailure> TcpAssociation::CheckQuiet() {
  if (!outstanding_.empty()) return {};
  auto quiet = connection_.CheckQuiet();
  if (quiet) quiet = TakeUnasked();
  if (quiet) return {};
  StoreFailure failure = End(quiet.error());
  failure.instance_touched = false;
  return tl::unexpected(std::move(failure));
}

tl::expected<std::uint16_t, StoreFailure> TcpAssociation::Send(const StoreRequest& request) {
  assert(over_ || outstanding_.size() < window_);
  if (auto checked = CheckContext(request.context_id); !checked) return tl::unexpected(checked.error());
  if (auto checked = CheckRequest(request); !checked) return tl::unexpected(checked.error());
  if (!writer_.ReadsFirst(request.dataset)) {
    if (auto checked = CheckFile(request.dataset); !checked) return tl::unexpected(checked.error());
  }
  if (auto quiet = CheckQuiet(); !quiet) return tl::unexpected(quiet.error());
  Command command;
  command.field = CommandField::kStoreRequest;
  command.message_id = NextMessageId();
  command.has_dataset = true;
  command.sop_class_uid = request.sop_class_uid;
  command.sop_instance_uid = request.sop_instance_uid;
  writer_.AddCommand(request.context_id, command);
  auto sent = writer_.AddDataset(request.context_id, request.dataset, SendPatience());
  NoteFlush();
  if (!sent && !writer_.has_begun()) {  // the file is the problem
    writer_.DropMessage();
    return Spare(sent.error());
  }
  // A message that has begun is finished.
  if (sent && (window_ == 1 || writer_.has_begun())) sent = FlushWriter();
  if (!sent) return tl::unexpected(End(sent.error()));
  outstanding_.push_back(
      {command.message_id, request.context_id, command.field, HashOf(request.sop_instance_uid), {}});
  if (writer_.is_empty()) outstanding_.back().sent_at = MonotonicNow();
  return command.message_id;
}

void TcpAssociation::Flush() {
  if (over_) return;
  if (auto sent = FlushWriter(); !sent) End(sent.error());
}

std::vector<std::uint16_t> TcpAssociation::Unsend() {
  std::vector<std::uint16_t> ids;
  for (const Outstanding& request : outstanding_) {
    if (!request.sent_at) ids.push_back(request.message_id);
  }
  std::erase_if(outstanding_, [](const Outstanding& request) { return !request.sent_at; });
  writer_.DropAll();
  return ids;
}

tl::expected<StoreResponse, StoreFailure> TcpAssociation::Receive() {
  assert(!outstanding_.empty());
  auto response = ReceiveResponse();
  if (!response && !over_) {
    const StoreFailure failure = End(response.error());
    response = ReceiveResponse();  // one that had arrived before
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
  command.message_id = NextMessageId();
  command.sop_class_uid = kVerificationSopClass;
  writer_.AddCommand(context_id, command);
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
    // A release collision: the requestor answers, then waits for its own answer (PS3.8 9.2.3, Sta9).
    if (pdu->type != PduType::kReleaseRequest) return Abort();
    if (!connection_.Send(EncodeReleaseResponse(), false, timeouts_.acse)) return Abort();
  }
  connection_.Close();
}

void TcpAssociation::Abort() {
  if (!connection_.is_open()) return;
  // Inside a PDU, an A-ABORT would be taken for bytes of the dataset, and could even complete it.
  if (writer_.is_inside_pdu()) return connection_.Reset();
  connection_.TrySend(EncodeAbort({0, 0}));
  connection_.Close();
}

}  // namespace

tl::expected<std::unique_ptr<Association>, AssociationFailure> RequestAssociation(const AssociationRequest& request,
                                                                                  SendingProgress& progress,
                                                                                  const WakeEvent* cancel,
                                                                                  IgnoredObserver on_ignored) {
  if (auto checked = CheckAssociationRequest(request); !checked) return tl::unexpected(std::move(checked.error()));
  auto connection = Connection::Connect(request.host, request.port, request.timeouts.connect, progress, cancel);
  if (!connection) return tl::unexpected(connection.error());
  Remarks ignored;
  auto negotiated = Negotiate(*connection, request, ignored);
  if (on_ignored) std::ranges::for_each(ignored.all(), on_ignored);
  if (!negotiated) {
    if (connection->is_open()) connection->TrySend(EncodeAbort({0, 0}));
    negotiated.error().connected = true;
    return tl::unexpected(std::move(negotiated.error()));
  }
  return std::make_unique<TcpAssociation>(std::move(*connection), request, *std::move(negotiated), progress,
                                          std::move(on_ignored), std::move(ignored));
}

}  // namespace dicom_sender
