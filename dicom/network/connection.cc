#include "dicom/network/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "common/host_lookup.h"
#include "dicom/byte_order.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kReceiveStepBytes = 4096;
// How much a destination may send while we are still sending: the responses of a whole window, with long comments.
constexpr std::size_t kEarlyBytesMax = 1U << 20;

tl::unexpected<ConnectionFailure> Fail(ConnectionProblem problem, std::string reason) {
  return tl::unexpected(ConnectionFailure{problem, std::move(reason)});
}

tl::unexpected<ConnectionFailure> FailAborted(ByteView body) {
  const auto abort = DecodeAbort(body);
  return Fail(ConnectionProblem::kAborted,
              "aborted by the destination: " + (abort ? DescribeAbort(*abort) : abort.error()));
}

tl::unexpected<ConnectionFailure> FailLost(int error) {
  return Fail(ConnectionProblem::kLost, fmt::format("connection lost: {}", std::strerror(error)));
}

constexpr std::int64_t kWaitMilliseconds = 1000;

// Time left for poll(2), rounded up so that it does not spin in the last millisecond.
int PollMilliseconds(TimePoint deadline) {
  const Duration left = deadline - MonotonicNow();
  if (left <= Duration::zero()) return 0;
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<std::int64_t>(whole, kWaitMilliseconds));
}

enum class Woken { kSocket, kTimedOut, kCancelled };

// `revents` (may be null) is set when the socket woke us.
Woken PollSocket(int fd, short events, TimePoint deadline, SendingProgress& progress, const WakeEvent* cancel,
                 short* revents) {
  pollfd polled[2] = {{fd, events, 0}, {cancel != nullptr ? cancel->fd() : -1, POLLIN, 0}};
  while (true) {
    const int ready = poll(polled, 2, PollMilliseconds(deadline));
    if (ready > 0 && polled[1].revents != 0) return Woken::kCancelled;
    if (ready > 0 && polled[0].revents != 0) {
      if (revents != nullptr) *revents = polled[0].revents;
      return Woken::kSocket;
    }
    if (ready <= 0 && MonotonicNow() >= deadline) return Woken::kTimedOut;
    progress.waits.fetch_add(1, std::memory_order_relaxed);
  }
}

Woken WaitForSocket(int fd, short events, TimePoint deadline, SendingProgress& progress, const WakeEvent* cancel,
                    short* revents) {
  const TimePoint begin = MonotonicNow();
  const Woken woken = PollSocket(fd, events, deadline, progress, cancel, revents);
  const auto waited = std::chrono::duration_cast<std::chrono::microseconds>(MonotonicNow() - begin);
  auto& total = (events & POLLOUT) != 0 ? progress.taking_us : progress.answer_us;
  total.fetch_add(static_cast<std::uint64_t>(waited.count()), std::memory_order_relaxed);
  return woken;
}

AssociationFailure ConnectFailure(int error) {
  const std::string reason = fmt::format("cannot connect: {}", std::strerror(error));
  if (error == ECONNREFUSED) return {AssociationFailureKind::kRefused, false, reason};
  if (error == ETIMEDOUT) return {AssociationFailureKind::kTimedOut, false, reason};
  return {AssociationFailureKind::kUnreachable, false, reason};
}

void SetOptions(int fd) {
  const int on = 1;
  // Nagle's algorithm and the receiver's delayed acknowledgement together cost 40 ms an instance.
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

// A destination that writes a PDU in two parts with Nagle's algorithm on (DCMTK's default) sends the second part when
// the first one is acknowledged: 40 ms later if our kernel delays the acknowledgement. Linux resets this option
// after a while, so it is set before each wait.
void AcknowledgeAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

// True for the errors of sendfile(2) that are about the file and not about the connection.
bool IsOfTheFile(int error) {
  return error == EIO || error == ESTALE || error == EINVAL || error == EOVERFLOW || error == EISDIR;
}

// The sent bytes that the kernel still holds.
int UnacknowledgedBytes(int fd) {
  int bytes = 0;
  ioctl(fd, SIOCOUTQ, &bytes);
  return bytes;
}

// The result of a connect(2) that was begun: 0 or an error number.
tl::expected<void, AssociationFailure> FinishConnect(int fd, TimePoint deadline, SendingProgress& progress,
                                                     const WakeEvent* cancel) {
  switch (WaitForSocket(fd, POLLOUT, deadline, progress, cancel, nullptr)) {
    case Woken::kTimedOut:
      return tl::unexpected(AssociationFailure{AssociationFailureKind::kTimedOut, false, "connect timed out"});
    case Woken::kCancelled:
      return tl::unexpected(AssociationFailure{AssociationFailureKind::kCancelled, false, "cancelled"});
    case Woken::kSocket:
      break;
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return tl::unexpected(ConnectFailure(error));
  return {};
}

tl::expected<UniqueFd, AssociationFailure> ConnectTo(const HostAddress& address, TimePoint deadline,
                                                     SendingProgress& progress, const WakeEvent* cancel) {
  UniqueFd fd(socket(address.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return tl::unexpected(ConnectFailure(errno));
  SetOptions(fd.get());
  tl::expected<void, AssociationFailure> connected;
  if (connect(fd.get(), address.get(), address.size) != 0) {
    connected = errno == EINPROGRESS ? FinishConnect(fd.get(), deadline, progress, cancel)
                                     : tl::unexpected(ConnectFailure(errno));
  }
  if (connected) return fd;
  return tl::unexpected(connected.error());
}

tl::expected<std::vector<HostAddress>, AssociationFailure> LookUp(const std::string& host, TimePoint deadline,
                                                                  SendingProgress& progress,
                                                                  const WakeEvent* cancel) {
  const auto fail = [](AssociationFailureKind kind, std::string reason) {
    return tl::unexpected(AssociationFailure{kind, false, std::move(reason)});
  };
  const HostLookup lookup(host);
  switch (lookup.done() ? Woken::kSocket : PollSocket(lookup.fd(), POLLIN, deadline, progress, cancel, nullptr)) {
    case Woken::kTimedOut:
      return fail(AssociationFailureKind::kResolve,
                  "cannot resolve the host: the name server does not answer in time");
    case Woken::kCancelled:
      return fail(AssociationFailureKind::kCancelled, "cancelled");
    case Woken::kSocket:
      break;
  }
  const HostAddresses& result = lookup.result();
  if (!result.addresses.empty()) return result.addresses;
  return fail(AssociationFailureKind::kResolve, fmt::format("cannot resolve the host: {}", result.failure));
}

}  // namespace

tl::expected<Connection, AssociationFailure> Connection::Connect(const std::string& host, std::uint16_t port,
                                                                 Duration timeout, SendingProgress& progress,
                                                                 const WakeEvent* cancel) {
  const TimePoint deadline = MonotonicNow() + timeout;
  const auto addresses = LookUp(host, deadline, progress, cancel);
  if (!addresses) return tl::unexpected(addresses.error());
  AssociationFailure last;
  for (const HostAddress& address : *addresses) {
    // Reserve half of the remaining time for the next addresses in case this one does not answer.
    const TimePoint now = MonotonicNow();
    const TimePoint until = &address != &addresses->back() ? now + (deadline - now) / 2 : deadline;
    auto fd = ConnectTo(address.WithPort(port), until, progress, cancel);
    if (fd) return Connection(std::move(*fd), progress, cancel);
    last = std::move(fd.error());
    if (last.kind == AssociationFailureKind::kCancelled) break;
  }
  return tl::unexpected(last);
}

void Connection::Reset() {
  if (!fd_.valid()) return;
  const linger at_once{1, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  Close();
}

void Connection::TrySend(ByteView bytes) noexcept {
  // Whether it arrives makes no difference: the connection ends either way.
  [[maybe_unused]] const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

ConnectionResult<void> Connection::Send(ByteView bytes, bool more, Duration idle) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return tl::unexpected(SendFailure(errno));
    if (auto ready = WaitToSend(idle); !ready) return ready;
  }
  return {};
}

ConnectionResult<std::size_t> Connection::SendFile(int fd, std::uint64_t offset, std::size_t size, Duration idle) {
  if (cancel_ != nullptr && cancel_->raised()) return Fail(ConnectionProblem::kCancelled, "cancelled");
  while (true) {
    off_t position = static_cast<off_t>(offset);
    const ssize_t sent = sendfile(fd_.get(), fd, &position, size);
    if (sent > 0) return static_cast<std::size_t>(sent);
    if (sent == 0) return Fail(ConnectionProblem::kFileChanged, "the file became shorter while it was sent");
    const int error = errno;
    if (error == EINTR) continue;
    if (IsOfTheFile(error)) {
      return Fail(ConnectionProblem::kFileUnreadable, fmt::format("cannot read the file: {}", std::strerror(error)));
    }
    if (error != EAGAIN) return tl::unexpected(SendFailure(error));
    if (auto ready = WaitToSend(idle); !ready) return tl::unexpected(ready.error());
  }
}

// Waits until the socket takes more. Meanwhile it receives, because the destination may send an abort or an early
// response, and because two sides that only write would block each other.
ConnectionResult<void> Connection::WaitToSend(Duration idle) {
  int unsent = UnacknowledgedBytes(fd_.get());
  while (true) {
    short revents = 0;
    switch (WaitForSocket(fd_.get(), POLLIN | POLLOUT, MonotonicNow() + idle, *progress_, cancel_, &revents)) {
      case Woken::kTimedOut:
        // The socket becomes writable when a third of its buffer is free. A slow destination needs long for that.
        if (const int left = UnacknowledgedBytes(fd_.get()); left < unsent) {
          unsent = left;
          continue;
        }
        return Fail(ConnectionProblem::kTimedOut, "timed out: the destination takes no more data");
      case Woken::kCancelled:
        return Fail(ConnectionProblem::kCancelled, "cancelled");
      case Woken::kSocket:
        break;
    }
    if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      if (auto read = ReadAvailable(); !read) return tl::unexpected(read.error());
      if (auto examined = ExamineEarly(); !examined) return examined;
    }
    if ((revents & POLLOUT) != 0) return {};
  }
}

// Examines what arrived unexpectedly: an A-ABORT ends the connection, a P-DATA-TF stays for Receive, and anything
// else is an error.
ConnectionResult<void> Connection::ExamineEarly() {
  ByteView unread = Unread();
  if (unread.size() > kEarlyBytesMax) {
    return Fail(ConnectionProblem::kProtocolError, "protocol error: the destination sends while it should receive");
  }
  while (unread.size() >= kPduHeaderBytes) {
    const auto header = DecodePduHeader(unread);
    if (!header) return Fail(ConnectionProblem::kProtocolError, "protocol error: " + header.error());
    if (unread.size() - kPduHeaderBytes < header->length_bytes) break;
    if (header->type == PduType::kAbort) return FailAborted(unread.subspan(kPduHeaderBytes, header->length_bytes));
    if (header->type != PduType::kData) {
      return Fail(ConnectionProblem::kProtocolError,
                  fmt::format("protocol error: unexpected PDU of type {:02X}H", static_cast<unsigned>(header->type)));
    }
    unread = unread.subspan(kPduHeaderBytes + header->length_bytes);
  }
  return {};
}

// An A-ABORT may have been received before the reset, and it says more than "broken pipe".
ConnectionFailure Connection::SendFailure(int error) {
  ConnectionResult<bool> read = true;
  while (read && *read) {
    read = ReadAvailable();
    if (auto examined = ExamineEarly(); !examined) return examined.error();
  }
  return FailLost(error).value();
}

ConnectionResult<bool> Connection::ReadAvailable() {
  if (received_begin_ == received_end_) received_begin_ = received_end_ = 0;
  if (received_.size() - received_end_ < kReceiveStepBytes) {
    // Make room: move unread bytes to the front, then grow the buffer if that is not enough.
    std::copy(received_.begin() + static_cast<std::ptrdiff_t>(received_begin_),
              received_.begin() + static_cast<std::ptrdiff_t>(received_end_), received_.begin());
    received_end_ -= std::exchange(received_begin_, 0);
    received_.resize(std::max(received_.size(), received_end_ + kReceiveStepBytes));
  }
  while (true) {
    const ssize_t count =
        recv(fd_.get(), received_.data() + received_end_, received_.size() - received_end_, MSG_DONTWAIT);
    if (count > 0) {
      received_end_ += static_cast<std::size_t>(count);
      return true;
    }
    if (count == 0) return Fail(ConnectionProblem::kLost, "connection closed by the destination");
    if (errno == EAGAIN) return false;
    if (errno != EINTR) return FailLost(errno);
  }
}

ConnectionResult<std::optional<ReceivedPdu>> Connection::TakePdu() {
  const ByteView unread = Unread();
  if (unread.size() < kPduHeaderBytes) return std::nullopt;
  const auto header = DecodePduHeader(unread);
  if (!header) return Fail(ConnectionProblem::kProtocolError, "protocol error: " + header.error());
  if (header->type == PduType::kData && header->length_bytes > receive_max_bytes_) {
    return Fail(ConnectionProblem::kProtocolError, fmt::format("protocol error: P-DATA-TF of {} bytes (at most {})",
                                                               header->length_bytes, receive_max_bytes_));
  }
  if (unread.size() - kPduHeaderBytes < header->length_bytes) return std::nullopt;
  const ByteView body = unread.subspan(kPduHeaderBytes, header->length_bytes);
  received_begin_ += kPduHeaderBytes + header->length_bytes;
  if (header->type == PduType::kAbort) return FailAborted(body);
  return ReceivedPdu{header->type, body};
}

bool Connection::HasPdu() const {
  const ByteView unread = Unread();
  if (unread.size() < kPduHeaderBytes) return false;
  const auto header = DecodePduHeader(unread);
  return !header || unread.size() - kPduHeaderBytes >= header->length_bytes;
}

ConnectionResult<ReceivedPdu> Connection::Receive(Duration timeout) {
  const TimePoint deadline = MonotonicNow() + timeout;
  while (true) {
    auto pdu = TakePdu();
    if (!pdu) return tl::unexpected(pdu.error());
    if (*pdu) return **pdu;
    AcknowledgeAtOnce(fd_.get());
    if (WaitForSocket(fd_.get(), POLLIN, deadline, *progress_, cancel_, nullptr) == Woken::kSocket) {
      if (auto read = ReadAvailable(); !read) return tl::unexpected(read.error());
      continue;
    }
    if (cancel_ != nullptr && cancel_->raised()) return Fail(ConnectionProblem::kCancelled, "cancelled");
    return Fail(ConnectionProblem::kTimedOut, "timed out waiting for the destination's answer");
  }
}

ConnectionResult<bool> Connection::ReadAll() {
  ConnectionResult<bool> read = true;
  while (read && *read && received_end_ - received_begin_ <= kEarlyBytesMax) read = ReadAvailable();
  return read;
}

void Connection::TakeArrived() {
  if (fd_.valid()) [[maybe_unused]]
    const auto read = ReadAll();
}

ConnectionResult<void> Connection::CheckQuiet() {
  const auto read = ReadAll();
  if (auto examined = ExamineEarly(); !examined) return examined;
  if (!read) return tl::unexpected(read.error());
  return {};
}

}  // namespace dicom_sender
