// What the sending of a study has to do with its surroundings, apart from its lease (study_port.h).
#pragma once

#include <string>

#include "dicom/network/association.h"
#include "dicom/network/verification.h"
#include "worker.pb.h"
#include "worker/association/window_memory.h"
#include "worker/metrics.h"

namespace dicom_sender {

struct SentInstance {
  const std::string& path;
  const std::string& sop_instance_uid;
};

// Watches what is sent. Called in the thread that sends, so it must be quick.
class SendingObserver {
 public:
  virtual ~SendingObserver() = default;
  virtual void OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) = 0;
};

struct SendingContext {
  unsigned thread = 0;  // for the log
  Associate associate;
  const SendingProgress& progress;  // of associate()'s associations
  WindowMemory& windows;            // of all threads
  WorkerMetrics& metrics;
  SendingObserver& observer;
};

}  // namespace dicom_sender
