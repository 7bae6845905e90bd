// A message as the ROUTER at the coordinator receives it. Apart from channel.h, so that code that handles messages
// does not include ZeroMQ.
#pragma once

#include <string>

namespace dicom_sender {

struct PeerMessage {
  std::string peer;          // the ROUTER's name for the connection, to which answers go
  std::string bytes;         // as received, so not trusted
  std::string address = {};  // of the peer's machine, for the log; empty: in this process
  std::string key = {};  // the peer's public key, which the ZapHandler accepted; empty: the channel has no security
};

}  // namespace dicom_sender
