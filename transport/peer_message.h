// A message as the coordinator's ROUTER receives it. Separate from channel.h, so that code that handles messages does
// not include ZeroMQ.
#pragma once

#include <string>

namespace dicom_sender {

struct PeerMessage {
  std::string peer;          // the ROUTER's name for the connection, which replies need
  std::string bytes;         // as received, not validated
  std::string address = {};  // of the peer's machine, for the log; empty for peers in this process
  std::string key = {};  // the peer's public key, which the ZapHandler accepted; empty on channels without security
};

}  // namespace dicom_sender
