// What the states of a session mean.
#pragma once

#include "client.pb.h"

namespace dicom_sender {

// It is neither scanned nor sent. A suspended session counts as ended, too: it can be resumed.
constexpr bool HasEnded(wire::SessionState state) {
  return state != wire::SESSION_SCANNING && state != wire::SESSION_SENDING;
}

}  // namespace dicom_sender
