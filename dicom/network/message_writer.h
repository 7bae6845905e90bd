// Writes DIMSE messages to a connection: commands, and the datasets of C-STOREs from their files, as P-DATA-TF PDUs.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "common/time.h"
#include "dicom/network/association.h"
#include "dicom/network/connection.h"
#include "dicom/network/dimse.h"

namespace dicom_sender {

// Small messages are kept in a buffer, so that several share system calls and segments. `idle` is how long a call may
// wait without progress. After a failure nothing more can be written, unless no message has begun.
class MessageWriter {
 public:
  // The connection and `progress` must outlive the object. `window` is how many requests may be outstanding.
  MessageWriter(Connection& connection, SendingProgress& progress, std::uint32_t fragment_bytes_max,
                std::uint16_t window)
      : connection_(connection), progress_(progress), fragment_bytes_max_(fragment_bytes_max), window_(window) {}

  // Begins a message: adds the PDUs of the command to the buffer.
  void AddCommand(std::uint8_t context_id, const Command& command);
  // Adds the dataset of the message, or sends it.
  ConnectionResult<void> AddDataset(std::uint8_t context_id, const DatasetBytes& dataset, Duration idle);
  // Whether AddDataset reads the dataset before it sends any part of the message. Otherwise the caller checks the
  // file before it begins the message, because then the association can still be saved.
  bool ReadsFirst(const DatasetBytes& dataset) const;
  // Sends what is in the buffer.
  ConnectionResult<void> Flush(Duration idle) { return SendBuffer(false, idle); }

  // Whether the kernel has got a part of the last message.
  bool has_begun() const { return has_begun_; }
  // Removes the last message, which must not have begun, from the buffer.
  void DropMessage();
  // Removes all messages from the buffer.
  void DropAll();

  bool is_empty() const { return buffer_.empty(); }
  // A PDU has been sent in part: the destination takes the next bytes for the rest of it.
  bool is_inside_pdu() const { return is_inside_pdu_; }
  // The time of the first flush since the last call. Messages that were in the buffer before have been sent.
  std::optional<TimePoint> TakeFlushTime() { return std::exchange(first_flush_, std::nullopt); }

 private:
  // A part of a dataset with a PDU of its own.
  struct Fragment {
    std::uint64_t begin = 0;
    std::uint32_t size = 0;  // 0 after the last fragment
    std::uint32_t padding = 0;
    bool is_last = false;
  };

  Fragment FirstOf(const DatasetBytes& dataset) const { return NextOf(dataset, {}); }
  Fragment NextOf(const DatasetBytes& dataset, const Fragment& last) const;
  bool IsCopied(const DatasetBytes& dataset) const;
  void AddHeader(std::uint8_t context_id, bool is_command, bool is_last, std::uint32_t size);
  ConnectionResult<void> SendBuffer(bool more, Duration idle);
  ConnectionResult<void> SendFromFile(std::uint8_t context_id, const DatasetBytes& dataset, Duration idle);
  ConnectionResult<void> SendFragment(const DatasetBytes& dataset, std::uint64_t from, std::uint32_t size,
                                      Duration idle);
  ConnectionResult<void> CopyToBuffer(std::uint8_t context_id, const DatasetBytes& dataset, Duration idle);

  Connection& connection_;
  SendingProgress& progress_;
  const std::uint32_t fragment_bytes_max_;
  const std::uint16_t window_;
  Bytes buffer_;  // whole messages, or the beginning of one, that the kernel has not got yet
  std::uint64_t buffered_dataset_bytes_ = 0;
  // The state before the last message.
  std::size_t message_begin_ = 0;
  std::uint64_t dataset_bytes_before_ = 0;
  bool has_begun_ = false;
  bool is_inside_pdu_ = false;
  std::optional<TimePoint> first_flush_;
  Bytes command_;  // a member to keep its memory: sending an instance does not allocate
};

// The failure of a file that cannot be read, by errno; and of one that is shorter than its dataset.
ConnectionFailure CannotRead();
ConnectionFailure BecameShorter();

}  // namespace dicom_sender
