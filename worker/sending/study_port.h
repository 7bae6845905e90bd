// What the sender of one study needs of whoever holds its lease.
#pragma once

#include <cstdint>
#include <optional>

#include "worker.pb.h"

namespace dicom_sender {

class StudyPort {
 public:
  virtual ~StudyPort() = default;

  // Waits for the page; nullopt: stop now.
  virtual std::optional<wire::Page> FetchPage(std::uint32_t from_index) = 0;
  // Waits while too many outcomes are not acknowledged, but never after a stop was requested.
  virtual void Report(wire::Outcome outcome) = 0;
  virtual void AssociationOpened() = 0;
  // No further instance may be sent: the lease is lost, or the worker stops.
  virtual bool StopRequested() const = 0;
};

}  // namespace dicom_sender
