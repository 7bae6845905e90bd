// Predicates on the state of a session.
#pragma once

#include "client.pb.h"

namespace dicom_sender {

// True if the session is neither scanned nor sent. A suspended session counts as ended, although it can be resumed.
constexpr bool HasEnded(wire::SessionState state) {
  return state != wire::SESSION_SCANNING && state != wire::SESSION_SENDING;
}

}  // namespace dicom_sender
