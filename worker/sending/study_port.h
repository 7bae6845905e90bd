// The interface of a study's sender to the holder of its lease.
#pragma once

#include <cstdint>
#include <optional>

#include "worker.pb.h"

namespace dicom_sender {

class StudyPort {
 public:
  virtual ~StudyPort() = default;

  // Waits for the page. Returns nullopt if the sender must stop.
  virtual std::optional<wire::Page> FetchPage(std::uint32_t from_index) = 0;
  // Waits while too many outcomes are unacknowledged, but never after a stop request.
  virtual void Report(wire::Outcome outcome) = 0;
  virtual void AssociationOpened() = 0;
  // True if no further instance may be sent, because the lease is lost or the worker stops.
  virtual bool StopRequested() const = 0;
};

}  // namespace dicom_sender
