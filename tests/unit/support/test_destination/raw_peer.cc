#include "tests/unit/support/test_destination/raw_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace dicom_sender {

RawPeer::RawPeer(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval timeout{20, 0};
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
  ::close(socket_);
  throw std::runtime_error("no connection");
}

RawPeer::~RawPeer() { ::close(socket_); }

RawPeer::Pdu RawPeer::Associate(std::optional<AsyncWindow> window) {
  AssociateRequest request;
  request.called_ae = "DESTINATION";
  request.calling_ae = "RAW_PEER";
  request.contexts = {{1, kSecondaryCapture, {kExplicitLittleEndian}}};
  request.user.implementation_class_uid = "1.2.3";
  request.user.async_window = window;
  Send(EncodeAssociateRequest(request));
  return Read();
}

void RawPeer::Store(std::uint16_t message_id, const std::string& sop_instance_uid, const std::string& dataset) {
  SendCommand(message_id, sop_instance_uid);
  SendData(dataset, true);
}

void RawPeer::SendCommand(std::uint16_t message_id, const std::string& sop_instance_uid) {
  Command command;
  command.field = CommandField::kStoreRequest;
  command.message_id = message_id;
  command.has_dataset = true;
  command.sop_class_uid = kSecondaryCapture;
  command.sop_instance_uid = sop_instance_uid;
  Bytes bytes;
  EncodeCommand(command, bytes);
  const DataHeader header = EncodeDataHeader(1, true, true, static_cast<std::uint32_t>(bytes.size()));
  Send(Bytes(header.begin(), header.end()));
  Send(bytes);
}

void RawPeer::SendData(const std::string& data, bool is_last, std::uint8_t context_id) {
  const DataHeader header = EncodeDataHeader(context_id, false, is_last, static_cast<std::uint32_t>(data.size()));
  Send(Bytes(header.begin(), header.end()));
  Send(Bytes(data.begin(), data.end()));
}

void RawPeer::Send(const Bytes& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;  // the next Read fails
    sent += static_cast<std::size_t>(count);
  }
}

bool RawPeer::ReadExactly(std::size_t bytes, Bytes& out) {
  out.resize(bytes);
  return bytes == 0 || ::recv(socket_, out.data(), bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
}

RawPeer::Pdu RawPeer::Read() {
  Bytes header, body;
  if (!ReadExactly(kPduHeaderBytes, header)) return {};
  if (header[0] > static_cast<std::uint8_t>(PduType::kAbort)) return {header[0], {}};
  const std::size_t length = static_cast<std::size_t>(header[4]) << 8 | header[5];  // received PDUs are short
  if (!ReadExactly(length, body)) return {};
  return {header[0], body};
}

RawPeer::Answer RawPeer::ReadAnswer() {
  const Pdu pdu = Read();
  if (pdu.type != static_cast<std::uint8_t>(PduType::kData)) return {};
  ByteView body(pdu.body);
  const auto pdv = TakePdv(body);
  if (!pdv) return {};
  Remarks ignored;
  const auto command = DecodeCommand(pdv->data, ignored);
  if (!command) return {};
  return {command->message_id, command->status};
}

bool RawPeer::HasAnswerNow() const {
  pollfd descriptor{socket_, POLLIN, 0};
  return ::poll(&descriptor, 1, 0) > 0;
}

void RawPeer::Release() {
  Send(EncodeReleaseRequest());
  Read();
}

}  // namespace dicom_sender
