// Runs a worker: one thread communicates with the coordinator, and each association has a sending thread.
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
  unsigned threads = 1;       // simultaneous associations
  PathMap path_map;           // from the indexer's roots to folders of this machine
  bool watches_clock = true;  // false if a coordinator in this process watches it
  // Returns a readable reason why nothing can be sent at the moment, or an empty string. Must not block. May be null.
  std::function<std::string()> not_ready = {};
};

// The worker's health, which other threads may read while it runs.
struct WorkerHealth {
  std::atomic<Duration::rep> last_round = 0;  // of the loop; all times here are monotonic
  std::atomic<Duration::rep> last_heard = 0;  // the latest message from the coordinator; 0 if none has arrived
  // The start of the oldest association request that waits for its connection or an answer; 0 if none waits.
  std::atomic<Duration::rep> unanswered_since = 0;
};

// Leases and sends studies until a drain is requested, here or by the coordinator. Then it begins nothing new,
// finishes the instances in flight, releases the associations, gives the rest back, and returns when everything is
// reported. After `abort`, it returns as soon as its threads no longer wait for the network, and reports nothing
// more. The error is one sentence that says why the coordinator refuses this worker (its release or its name is
// wrong).
tl::expected<void, std::string> RunWorker(DealerChannel& channel, const WorkerOptions& options,
                                          WorkerMetrics& metrics, SendingObserver& observer, WorkerHealth& health,
                                          std::stop_token drain, std::stop_token abort);

}  // namespace dicom_sender
