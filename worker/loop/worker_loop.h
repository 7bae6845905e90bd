// The worker's shell: a thread that speaks with the coordinator, and for each association a thread that sends.
#pragma once

#include <stop_token>
#include <string>
#include <zmq.hpp>

#include "common/metrics.h"
#include "worker/sending/study_sender.h"

namespace dicom_sender {

struct WorkerOptions {
  std::string endpoint;   // of the coordinator, e.g. "inproc://workers"
  std::string worker_id;  // the same after a restart
  unsigned threads = 1;   // associations at the same time
};

// Leases and sends until a drain was requested and everything has been reported. Then nothing new is begun, the
// instances in flight are finished, the associations released, the rest given back. With `abort` it returns as soon
// as its threads have let go of the network, and reports nothing more. Throws zmq::error_t if it cannot connect.
void RunWorker(zmq::context_t& context, const WorkerOptions& options, WorkerMetrics& metrics,
               SendingObserver& observer, std::stop_token drain, std::stop_token abort);

}  // namespace dicom_sender
