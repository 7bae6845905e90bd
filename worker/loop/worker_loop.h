// The worker's shell: a thread that talks to the coordinator, and one sending thread for each association.
#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "common/time.h"
#include "transport/channel.h"
#include "worker/loop/path_map.h"
#include "worker/metrics.h"
#include "worker/sending/study_sender.h"

namespace dicom_sender {

struct WorkerOptions {
  std::string worker_id;      // the same after a restart
  unsigned threads = 1;       // associations at the same time
  PathMap path_map;           // from the coordinator's roots to ours
  bool watches_clock = true;  // false: the coordinator in this process does
  // Why nothing can be sent at the moment, for a person; empty: it can. Null: it always can. Must not block.
  std::function<std::string()> not_ready = {};
};

// What other threads may read of the worker while it runs.
struct WorkerHealth {
  std::atomic<Duration::rep> last_round = 0;  // of the loop; monotonic, as all of these
  std::atomic<Duration::rep> last_heard = 0;  // when a message of the coordinator arrived last; 0: never
  // Since when the oldest association request waits for an answer or for its connection; 0: none does.
  std::atomic<Duration::rep> unanswered_since = 0;
};

// Leases and sends until a drain was requested, here or by the coordinator, and everything has been reported. Then
// nothing new is begun, the instances in flight are finished, the associations released, the rest given back. With
// `abort` it returns as soon as its threads have let go of the network, and reports nothing more.
// The error is one sentence: the coordinator does not want this worker (its release or its name is wrong).
tl::expected<void, std::string> RunWorker(DealerChannel& channel, const WorkerOptions& options,
                                          WorkerMetrics& metrics, SendingObserver& observer, WorkerHealth& health,
                                          std::stop_token drain, std::stop_token abort);

}  // namespace dicom_sender
