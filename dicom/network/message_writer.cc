#include "dicom/network/message_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/read_at.h"

namespace dicom_sender {
namespace {

// Datasets up to this size are read into the buffer if there is a window, and all datasets if the destination takes
// short PDUs only. For the rest, sendfile(2) is faster (docs/performance.md).
constexpr std::uint64_t kCopiedBytesMax = 32U << 10;
constexpr std::uint32_t kCopiedFragmentBytesMax = 32 * 1024;
constexpr std::size_t kBufferedBytesMax = 64U << 10;  // before it is sent

constexpr std::array<std::uint8_t, 1> kZeroByte = {0};

}  // namespace

ConnectionFailure CannotRead() {
  return {ConnectionProblem::kFileUnreadable, fmt::format("cannot read the file: {}", std::strerror(errno))};
}

ConnectionFailure BecameShorter() { return {ConnectionProblem::kFileChanged, "the file is shorter than it was"}; }

void MessageWriter::AddHeader(std::uint8_t context_id, bool is_command, bool is_last, std::uint32_t size) {
  const DataHeader header = EncodeDataHeader(context_id, is_command, is_last, size);
  buffer_.insert(buffer_.end(), header.begin(), header.end());
}

void MessageWriter::AddCommand(std::uint8_t context_id, const Command& command) {
  message_begin_ = buffer_.size();
  dataset_bytes_before_ = buffered_dataset_bytes_;
  has_begun_ = false;
  command_.clear();
  EncodeCommand(command, command_);
  for (ByteView rest = command_; !rest.empty();) {
    const auto size = static_cast<std::uint32_t>(std::min<std::size_t>(rest.size(), fragment_bytes_max_));
    AddHeader(context_id, true, size == rest.size(), size);
    buffer_.insert(buffer_.end(), rest.begin(), rest.begin() + size);
    rest = rest.subspan(size);
  }
}

bool MessageWriter::IsCopied(const DatasetBytes& dataset) const {
  if (window_ > 1 && dataset.size_bytes <= kCopiedBytesMax) return true;
  return dataset.size_bytes > fragment_bytes_max_ && fragment_bytes_max_ <= kCopiedFragmentBytesMax;
}

bool MessageWriter::ReadsFirst(const DatasetBytes& dataset) const {
  return IsCopied(dataset) && dataset.size_bytes <= kCopiedBytesMax;
}

ConnectionResult<void> MessageWriter::AddDataset(std::uint8_t context_id, const DatasetBytes& dataset,
                                                 Duration idle) {
  return IsCopied(dataset) ? CopyToBuffer(context_id, dataset, idle) : SendFromFile(context_id, dataset, idle);
}

void MessageWriter::DropMessage() {
  buffer_.resize(message_begin_);
  buffered_dataset_bytes_ = dataset_bytes_before_;
}

void MessageWriter::DropAll() {
  buffer_.clear();
  buffered_dataset_bytes_ = 0;
}

// `more` says that something follows at once.
ConnectionResult<void> MessageWriter::SendBuffer(bool more, Duration idle) {
  if (buffer_.empty()) return {};
  is_inside_pdu_ = true;
  has_begun_ = true;
  if (auto sent = connection_.Send(buffer_, more, idle); !sent) return sent;
  is_inside_pdu_ = false;
  buffer_.clear();
  if (!first_flush_) first_flush_ = MonotonicNow();
  progress_.bytes_sent.fetch_add(std::exchange(buffered_dataset_bytes_, 0), std::memory_order_relaxed);
  return {};
}

ConnectionResult<void> MessageWriter::SendFromFile(std::uint8_t context_id, const DatasetBytes& dataset,
                                                   Duration idle) {
  for (Fragment fragment = FirstOf(dataset); fragment.size > 0; fragment = NextOf(dataset, fragment)) {
    AddHeader(context_id, false, fragment.is_last, fragment.size + fragment.padding);
    // The kernel joins the headers with the bytes of the file.
    if (auto sent = SendBuffer(true, idle); !sent) return sent;
    is_inside_pdu_ = true;
    auto sent = SendFragment(dataset, dataset.offset_bytes + fragment.begin, fragment.size, idle);
    if (sent && fragment.padding > 0) sent = connection_.Send(kZeroByte, false, idle);
    if (!sent) return sent;
    is_inside_pdu_ = false;
  }
  return {};
}

ConnectionResult<void> MessageWriter::SendFragment(const DatasetBytes& dataset, std::uint64_t from,
                                                   std::uint32_t size, Duration idle) {
  for (std::uint32_t done = 0; done < size;) {
    const auto sent = connection_.SendFile(dataset.fd, from + done, size - done, idle);
    if (!sent) return tl::unexpected(sent.error());
    done += static_cast<std::uint32_t>(*sent);
    progress_.bytes_sent.fetch_add(*sent, std::memory_order_relaxed);
  }
  return {};
}

// Leaves the last part in the buffer, unsent.
ConnectionResult<void> MessageWriter::CopyToBuffer(std::uint8_t context_id, const DatasetBytes& dataset,
                                                   Duration idle) {
  for (Fragment fragment = FirstOf(dataset); fragment.size > 0; fragment = NextOf(dataset, fragment)) {
    AddHeader(context_id, false, fragment.is_last, fragment.size + fragment.padding);
    const std::size_t at = buffer_.size();
    buffer_.resize(at + fragment.size + fragment.padding);
    const ssize_t read = ReadAt(dataset.fd, {&buffer_[at], fragment.size}, dataset.offset_bytes + fragment.begin);
    if (read < 0) return tl::unexpected(CannotRead());
    if (read < ssize_t{fragment.size}) return tl::unexpected(BecameShorter());
    buffered_dataset_bytes_ += fragment.size;
    if (buffer_.size() < kBufferedBytesMax) continue;
    if (auto sent = SendBuffer(!fragment.is_last, idle); !sent) return sent;
  }
  return {};
}

MessageWriter::Fragment MessageWriter::NextOf(const DatasetBytes& dataset, const Fragment& last) const {
  Fragment next{.begin = last.begin + last.size};
  const std::uint64_t left = dataset.size_bytes - next.begin;
  next.size = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, fragment_bytes_max_));
  next.is_last = next.size == left;
  next.padding = dataset.pad_to_even ? next.size % 2 : 0;  // only the last fragment can be odd
  return next;
}

}  // namespace dicom_sender
