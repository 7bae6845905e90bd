// Sends one study: plans its presentation contexts, opens its association, stores instance after instance, reports
// what became of each. Decides nothing about retries: it says what it saw, the coordinator judges it.
#pragma once

#include <string>

#include "dicom/network/association.h"
#include "dicom/network/verification.h"
#include "worker/association/window_memory.h"
#include "worker/metrics.h"
#include "worker/sending/study_port.h"

namespace dicom_sender {

struct SentInstance {
  const std::string& path;
  const std::string& sop_instance_uid;
};

// Told of what happens, for whoever watches. Called in the thread that sends; must be quick.
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

// Returns when the study is done, has to be given back, or a stop was requested; all associations are over then.
// Without an association for an instance it goes on to the next one on a new association; after three losses in a row
// without a response between them the study is given back. The first loss that is put down to the proposal of a
// window is not one of them, and uses no attempt (see WindowMemory). Before a study is given back because of its
// association, a C-ECHO on an association of its own tells whether the destination answers at all.
wire::GiveBack SendStudy(const wire::LeaseGrant& grant, StudyPort& port, const SendingContext& context);

}  // namespace dicom_sender
