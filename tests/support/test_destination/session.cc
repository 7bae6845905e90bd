#include "tests/support/test_destination/session.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kQuietTime{50};       // after this time without a new operation, reordered responses are sent
constexpr milliseconds kCloseTimeout{5000};  // the peer's time to close the connection (ARTIM of PS3.8 section 9.1.4)
constexpr std::string_view kImplementationClass = "2.25.181239871239817239817239182";

bool Contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// 0 means unlimited (PS3.7 D.3.3.3).
std::uint16_t SmallerWindow(std::uint16_t a, std::uint16_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

// Encodes a response as a P-DATA-TF.
Bytes EncodeResponse(const Command& response, std::uint8_t context_id) {
  Bytes pdu(DataHeader().size());
  EncodeCommand(response, pdu);
  const auto command_bytes = static_cast<std::uint32_t>(pdu.size() - DataHeader().size());
  const DataHeader header = EncodeDataHeader(context_id, true, true, command_bytes);
  std::copy(header.begin(), header.end(), pdu.begin());
  return pdu;
}

// The name comes from the peer and must not escape from the folder.
std::string FileName(std::string uid) {
  std::replace_if(
      uid.begin(), uid.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '.'; }, '_');
  return uid;
}

std::string PeerAddress(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char text[NI_MAXHOST] = "";
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  getnameinfo(reinterpret_cast<sockaddr*>(&address), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

}  // namespace

// ---- reading

bool PduReader::Fill(std::size_t bytes) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ + bytes > buffer_.size()) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (bytes > buffer_.size()) buffer_.resize(bytes);
  }
  while (end_ - begin_ < bytes) {
    const ssize_t count = ::recv(socket_, buffer_.data() + end_, buffer_.size() - end_, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    end_ += static_cast<std::size_t>(count);
  }
  return true;
}

tl::expected<PduReader::Pdu, std::string> PduReader::Next() {
  if (!Fill(kPduHeaderBytes)) return tl::unexpected(std::string());
  const auto header = DecodePduHeader(ByteView(buffer_).subspan(begin_, kPduHeaderBytes));
  if (!header) return tl::unexpected(header.error());
  if (header->type == PduType::kData && data_bytes_max_ != 0 && header->length_bytes > data_bytes_max_) {
    return tl::unexpected(
        fmt::format("P-DATA-TF of {} bytes, {} were announced", header->length_bytes, data_bytes_max_));
  }
  if (!Fill(kPduHeaderBytes + header->length_bytes)) return tl::unexpected(std::string());
  const Pdu pdu{header->type, ByteView(buffer_).subspan(begin_ + kPduHeaderBytes, header->length_bytes)};
  begin_ += kPduHeaderBytes + header->length_bytes;
  return pdu;
}

// ---- negotiation

void Session::Run() {
  if (!Negotiate()) return;
  AssociationEnd end = Converse();
  if (end == AssociationEnd::kLost && state_.stopping()) end = AssociationEnd::kDroppedByUs;
  if (instance_) SettleInstance();
  // Logs the end after the last byte was sent, so that waiting for the log is enough. Does not wait for the peer to
  // close the connection, because the association is over without that.
  state_.End(record_, end);
  if (end == AssociationEnd::kReleased || end == AssociationEnd::kAbortedByUs) FinishSending();
}

bool Session::Negotiate() {
  const auto pdu = reader_.Next();
  if (!pdu || pdu->type != PduType::kAssociateRequest) return false;
  const auto request = DecodeAssociateRequest(pdu->body);
  if (!request) return false;
  SharedState::Admission admission = state_.Admit(*request, PeerAddress(socket_));
  record_ = std::move(admission.record);
  behaviour_ = std::move(admission.behaviour);
  if (admission.rejection) {
    Reject(*admission.rejection);
    return false;
  }
  if (behaviour_.stall_association) {
    WaitForHangUp();
    state_.End(record_, AssociationEnd::kLost);
    return false;
  }
  if (ReactsToWindow(WindowReaction::kAbortRequest)) {
    SendAbort();
    state_.End(record_, AssociationEnd::kAbortedByUs);
    FinishSending();
    return false;
  }
  if (ReactsToWindow(WindowReaction::kDropRequest)) {
    Reset();
    state_.End(record_, AssociationEnd::kDroppedByUs);
    return false;
  }
  const AssociateAccept accept = Accept(*request);
  reader_.SetDataLimit(behaviour_.max_pdu_bytes);
  state_.Update(record_);
  Bytes pdu_bytes = EncodeAssociateAccept(accept);
  if (behaviour_.edit_accept) behaviour_.edit_accept(pdu_bytes);
  Send(pdu_bytes);
  if (!ReactsToWindow(WindowReaction::kDropAfterAccept)) return true;
  state_.End(record_, AssociationEnd::kDroppedByUs);
  return false;
}

bool Session::ReactsToWindow(WindowReaction reaction) const {
  return record_.window_proposed && behaviour_.window_reaction == reaction;
}

void Session::Reject(const Rejection& rejection) {
  Send(EncodeAssociateReject({rejection.result, rejection.source, rejection.reason}));
  state_.End(record_, AssociationEnd::kRejected);
  FinishSending();
}

AssociateAccept Session::Accept(const AssociateRequest& request) {
  AssociateAccept accept;
  accept.called_ae = request.called_ae;
  accept.calling_ae = request.calling_ae;
  for (std::size_t i = 0; i < request.contexts.size(); ++i) {
    accept.contexts.push_back(AnswerContext(request.contexts[i]));
    if (accept.contexts.back().result != ContextResult::kAccepted) continue;
    record_.contexts[i].accepted = accept.contexts.back().transfer_syntax;
    accepted_[request.contexts[i].id] = accept.contexts.back().transfer_syntax;
  }
  accept.user.max_pdu_bytes = behaviour_.max_pdu_bytes;
  accept.user.implementation_class_uid = kImplementationClass;
  accept.user.implementation_version = "TESTDESTINATION";
  NegotiateWindow(request.user, accept.user);
  return accept;
}

ContextAnswer Session::AnswerContext(const ProposedContext& proposed) {
  if (!behaviour_.abstract_syntaxes.empty() && !Contains(behaviour_.abstract_syntaxes, proposed.abstract_syntax)) {
    return {proposed.id, ContextResult::kAbstractSyntaxNotSupported, ""};
  }
  const auto& ours = behaviour_.transfer_syntaxes.empty() ? proposed.transfer_syntaxes : behaviour_.transfer_syntaxes;
  for (const std::string& syntax : ours) {
    if (Contains(proposed.transfer_syntaxes, syntax)) return {proposed.id, ContextResult::kAccepted, syntax};
  }
  return {proposed.id, ContextResult::kTransferSyntaxesNotSupported, ""};
}

void Session::NegotiateWindow(const UserInformation& peer, UserInformation& ours) {
  if (!peer.async_window || behaviour_.async_window == 1) return;
  record_.async_window = SmallerWindow(peer.async_window->invoked_max, behaviour_.async_window);
  ours.async_window = AsyncWindow{record_.async_window, 1};
}

// ---- conversation

AssociationEnd Session::Converse() {
  while (true) {
    SendDueAnswers();
    if (!pending_.empty() && !reader_.HasBuffered() && !WaitForPeerOrAnswer()) continue;
    const auto pdu = reader_.Next();
    if (!pdu && pdu.error().empty()) return AssociationEnd::kLost;
    const Over over = pdu ? HandlePdu(*pdu) : Problem(pdu.error());
    if (over) return *over;
  }
}

Session::Over Session::HandlePdu(const PduReader::Pdu& pdu) {
  switch (pdu.type) {
    case PduType::kData:
      return HandleData(pdu.body);
    case PduType::kReleaseRequest:
      Send(EncodeReleaseResponse());
      return AssociationEnd::kReleased;
    case PduType::kAbort:
      return AssociationEnd::kAbortedByPeer;
    default:
      return Problem(fmt::format("unexpected PDU of type {}", static_cast<int>(pdu.type)));
  }
}

Session::Over Session::HandleData(ByteView body) {
  while (!body.empty()) {
    const auto pdv = TakePdv(body);
    if (!pdv) return Problem(pdv.error());
    if (!accepted_.contains(pdv->context_id)) {
      return Problem(fmt::format("presentation context {} was not accepted", pdv->context_id));
    }
    const Over over = pdv->is_command ? HandleCommandFragment(*pdv) : HandleDataset(*pdv);
    if (over) return over;
  }
  return std::nullopt;
}

Session::Over Session::HandleCommandFragment(const Pdv& pdv) {
  if (instance_) return Problem("a command inside a dataset");
  command_.insert(command_.end(), pdv.data.begin(), pdv.data.end());
  if (command_.size() > kCommandBytesMax) return Problem("endless command set");
  if (!pdv.is_last) return std::nullopt;
  Remarks ignored;
  const auto command = DecodeCommand(command_, ignored);
  Over over;
  if (!command) {
    over = Problem(command.error());
  } else if (!ignored.all().empty()) {
    over = Problem("command set with " + ignored.all().front());
  } else {
    over = HandleCommand(*command, pdv.context_id);
  }
  command_.clear();
  return over;
}

Session::Over Session::HandleCommand(const Command& command, std::uint8_t context_id) {
  if (ReactsToWindow(WindowReaction::kDropCommand)) {
    Reset();
    return AssociationEnd::kDroppedByUs;
  }
  const std::uint64_t open = pending_.size() + stalled_ + 1;
  if (record_.async_window != 0 && open > record_.async_window) {
    return Problem(fmt::format("{} operations at once, the window is {}", open, record_.async_window));
  }
  if (command.field == CommandField::kStoreRequest) return BeginInstance(command, context_id);
  if (command.field != CommandField::kEchoRequest) return Problem("neither C-STORE nor C-ECHO");
  ++record_.echoes;
  Command response;
  response.field = CommandField::kEchoResponse;
  response.message_id = command.message_id;
  response.sop_class_uid = command.sop_class_uid;
  Send(EncodeResponse(response, context_id));
  return std::nullopt;
}

Session::Over Session::BeginInstance(const Command& command, std::uint8_t context_id) {
  if (!command.has_dataset) return Problem("C-STORE without a dataset");
  ++record_.instances;
  Instance& instance = instance_.emplace(Instance{});
  InstanceRecord& record = instance.record;
  record.association = record_.number;
  record.received = std::chrono::system_clock::now();
  record.sop_class = command.sop_class_uid;
  record.sop_instance = command.sop_instance_uid;
  record.transfer_syntax = accepted_[context_id];
  if (state_.options().hash_datasets) record.fnv1a_hash = kFnv1aStart;
  instance.rule = state_.RuleFor(record.sop_instance, record_.instances);
  instance.context_id = context_id;
  instance.message_id = command.message_id;
  if (!state_.options().store_folder.empty()) {
    instance.part_file = fmt::format("{}/.part-{}", state_.options().store_folder, record_.number);
    instance.part.open(instance.part_file, std::ios::binary | std::ios::trunc);
  }
  if (instance.rule.action != InstanceAction::kStallReceiving) return std::nullopt;
  state_.Update(record_);  // a waiting test sees that the stall has begun
  WaitForHangUp();
  return AssociationEnd::kLost;
}

Session::Over Session::HandleDataset(const Pdv& pdv) {
  if (!instance_) return Problem("a dataset without a command");
  if (pdv.context_id != instance_->context_id) return Problem("a dataset in another context than its command");
  InstanceRecord& record = instance_->record;
  record.bytes += pdv.data.size();
  if (record.fnv1a_hash) record.fnv1a_hash = Fnv1a(AsText(pdv.data), *record.fnv1a_hash);
  if (instance_->part.is_open()) {
    instance_->part.write(reinterpret_cast<const char*>(pdv.data.data()),
                          static_cast<std::streamsize>(pdv.data.size()));
  }
  record.complete = pdv.is_last;
  if (instance_->rule.action == InstanceAction::kAbortInDataset) {
    SendAbort();
    return AssociationEnd::kAbortedByUs;
  }
  if (instance_->rule.action == InstanceAction::kDropInDataset) {
    Reset();
    return AssociationEnd::kDroppedByUs;
  }
  return pdv.is_last ? EndInstance() : std::nullopt;
}

Session::Over Session::EndInstance() {
  const InstanceRule rule = instance_->rule;
  Over over;
  Bytes answer;
  Command response;
  response.field = CommandField::kStoreResponse;
  response.message_id = instance_->message_id;
  response.status = rule.status;
  const std::string sop_class = instance_->record.sop_class, sop_instance = instance_->record.sop_instance;
  response.sop_class_uid = sop_class;
  response.sop_instance_uid = sop_instance;
  response.error_comment = rule.error_comment;
  switch (rule.action) {
    case InstanceAction::kAbortAfterDataset:
      SendAbort();
      over = AssociationEnd::kAbortedByUs;
      break;
    case InstanceAction::kDropAfterDataset:
      Reset();
      over = AssociationEnd::kDroppedByUs;
      break;
    case InstanceAction::kStall:
      ++stalled_;
      break;
    case InstanceAction::kAnswerGarbage:
      answer.assign(64, 0xEE);  // no PDU has this type
      break;
    case InstanceAction::kAnswerWrongMessageId:
      response.message_id = static_cast<std::uint16_t>(response.message_id + 0x4000);
      answer = EncodeResponse(response, instance_->context_id);
      break;
    default:
      instance_->record.status = rule.status;
      answer = rule.raw_answer ? rule.raw_answer(instance_->context_id, instance_->message_id)
                               : EncodeResponse(response, instance_->context_id);
      if (rule.action != InstanceAction::kAnswerNextToo) break;
      ++response.message_id;
      for (const std::uint8_t byte : EncodeResponse(response, instance_->context_id)) answer.push_back(byte);
  }
  SettleInstance();
  if (!answer.empty()) AddAnswer(std::move(answer), rule.delay);
  return over;
}

void Session::SettleInstance() {
  if (instance_->part.is_open()) {
    instance_->part.close();
    const std::filesystem::path part(instance_->part_file);
    std::error_code error;
    if (instance_->record.complete && !instance_->part.fail()) {
      std::filesystem::rename(part, part.parent_path() / FileName(instance_->record.sop_instance), error);
    } else {
      std::filesystem::remove(part, error);
    }
  }
  state_.Settle(std::move(instance_->record));
  instance_.reset();
}

Session::Over Session::Problem(std::string what) {
  record_.problem = std::move(what);
  SendAbort();
  return AssociationEnd::kAbortedByUs;
}

// ---- answering

void Session::AddAnswer(Bytes bytes, milliseconds delay) {
  if (!behaviour_.reorder_answers && delay.count() == 0) return Send(bytes);
  const Clock::time_point now = Clock::now();
  pending_.push_back({now + delay, std::move(bytes)});
  if (!behaviour_.reorder_answers) return;
  const bool is_full = pending_.size() + stalled_ == record_.async_window;
  for (PendingAnswer& answer : pending_) answer.due = now + (is_full ? delay : kQuietTime + delay);
}

void Session::SendDueAnswers() {
  if (pending_.empty()) return;
  const Clock::time_point now = Clock::now();
  if (behaviour_.reorder_answers) std::reverse(pending_.begin(), pending_.end());
  std::erase_if(pending_, [&](const PendingAnswer& answer) {
    const bool is_due = answer.due <= now;
    if (is_due) Send(answer.bytes);
    return is_due;
  });
  if (behaviour_.reorder_answers) std::reverse(pending_.begin(), pending_.end());
}

// True if there is something to read.
bool Session::WaitForPeerOrAnswer() {
  const auto next =
      std::min_element(pending_.begin(), pending_.end(), [](const auto& a, const auto& b) { return a.due < b.due; });
  const auto left = std::chrono::ceil<milliseconds>(next->due - Clock::now());
  pollfd descriptor{socket_, POLLIN, 0};
  return ::poll(&descriptor, 1, static_cast<int>(std::max<milliseconds::rep>(left.count(), 0))) > 0;
}

void Session::Send(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // the next read fails in the same way
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void Session::SendAbort() { Send(EncodeAbort({0, 0})); }

// Does not read: the peer's FIN is seen only if all data before it fits into the receive buffer.
void Session::WaitForHangUp() {
  pollfd descriptor{socket_, POLLRDHUP, 0};
  while (::poll(&descriptor, 1, -1) < 0 && errno == EINTR) {
  }
}

// Turns the following close into a TCP reset.
void Session::Reset() {
  const linger at_once{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// Waits until the peer has closed the connection, or its time is over. Closing with unread bytes would cause a reset,
// which may overtake the A-ABORT.
void Session::FinishSending() {
  const auto deadline = Clock::now() + kCloseTimeout;
  ::shutdown(socket_, SHUT_WR);
  char discarded[65536];
  pollfd descriptor{socket_, POLLIN, 0};
  while (Clock::now() < deadline && ::poll(&descriptor, 1, static_cast<int>(kCloseTimeout.count())) > 0) {
    if (::recv(socket_, discarded, sizeof discarded, 0) <= 0) return;
  }
}

}  // namespace dicom_sender
