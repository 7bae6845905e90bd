// The environment in which a study is sent, apart from its lease (study_port.h).
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

// Observes what is sent. Runs in the sending thread, so it must be quick.
class SendingObserver {
 public:
  virtual ~SendingObserver() = default;
  virtual void OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) = 0;
};

struct SendingContext {
  unsigned thread = 0;  // for the log
  Associate associate;
  const SendingProgress& progress;  // of associate()'s associations
  WindowMemory& windows;            // shared by all threads
  WorkerMetrics& metrics;
  SendingObserver& observer;
};

}  // namespace dicom_sender
