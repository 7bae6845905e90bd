// Collects the command sets of responses from the P-DATA-TF PDUs that a destination sends.
#pragma once

#include <cstdint>

#include "common/time.h"
#include "dicom/network/connection.h"
#include "dicom/network/pdu.h"
#include "dicom/network/remarks.h"

namespace dicom_sender {

class ResponseReader {
 public:
  // The connection and `ignored` must outlive the object.
  ResponseReader(Connection& connection, Remarks& ignored) : connection_(connection), ignored_(ignored) {}

  // Takes the PDVs of one PDU. Returns true if the command set is complete; what follows it in the same PDU is left
  // for the next call. Waits only if nothing is left and nothing has arrived.
  ConnectionResult<bool> Collect(TimePoint deadline);
  // The command set of the last complete response.
  ByteView command_set() const { return command_set_; }
  std::uint8_t context_id() const { return context_id_; }

  // Whether Collect can continue without waiting.
  bool HasNext() const { return !rest_.empty() || connection_.HasPdu(); }
  // Whether anything has arrived that has not been returned.
  bool HasUnread() const { return !rest_.empty() || is_inside_ || connection_.HasUnread(); }
  // Discards what is left of the last PDU.
  void Forget() { rest_.clear(); }
  // The response that was just returned answers a request: a dataset may follow it, and is skipped.
  void AllowDataset() { dataset_may_follow_ = true; }

 private:
  ConnectionResult<bool> CollectFrom(ByteView body);
  ConnectionResult<void> SkipDataset(const Pdv& pdv);

  Connection& connection_;
  Remarks& ignored_;
  Bytes command_set_;  // keeps its memory: receiving a response does not allocate
  std::uint8_t context_id_ = 0;
  bool is_inside_ = false;  // the last PDV of the response has not arrived
  bool dataset_may_follow_ = false;
  Bytes rest_;  // of a PDU that holds more than one response
};

}  // namespace dicom_sender
