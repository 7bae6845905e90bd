// Runs the indexer, the coordinator, and the worker in one process. They use the same libraries as the separate
// programs, and communicate over ZeroMQ's inproc transport.
#pragma once

#include <prometheus/registry.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <zmq.hpp>

#include "cli/exit_status.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/service/coordinator_loop.h"
#include "coordinator/service/metrics.h"
#include "indexer/indexer.h"
#include "indexer/metrics.h"
#include "transport/coordinator_client.h"
#include "worker/loop/worker_loop.h"
#include "worker/metrics.h"

namespace dicom_sender {

// Why a run ended early: the message and the exit status.
struct Failure {
  int exit_status = kExitInternal;
  std::string sentence;
};

// Not thread-safe. Each part runs in its own thread from Start... until Stop.
class Engine {
 public:
  // Starts the coordinator. Only the coordinator may use the ledger until Stop() has returned.
  Engine(Ledger& ledger, const SchedulerOptions& options, prometheus::Registry& registry, CoordinatorHooks hooks);
  ~Engine() { Stop(); }

  // Sends a request to the coordinator. The error is the coordinator's, or says why it can no longer reply.
  tl::expected<wire::ClientReply, Failure> Ask(wire::ClientRequest request);

  void StartIndexer(IndexerOptions options);
  void StopIndexer() { indexer_.request_stop(); }
  const IndexerProgress& index_progress() const { return index_progress_; }
  bool indexer_ended() const { return indexer_ended_; }
  // Why the indexer ended before the scan was complete, in one sentence; nullopt if it did not or was stopped.
  std::optional<std::string> indexer_failure() const;

  void StartWorker(unsigned threads, SendingObserver& observer);
  // How long the oldest association request has been waiting for a response; 0 if none is waiting.
  Duration unanswered_for() const;
  void DrainWorker() { worker_.request_stop(); }  // the worker starts no further instance
  void AbortWorker() { abort_.request_stop(); }   // the worker no longer waits for the network

  // Why the coordinator or the worker failed; nullopt if neither did.
  std::optional<Failure> failure() const;

  // Stops all parts and waits for them: the indexer stops at the next file, the worker after its instances in flight
  // are finished and reported, and the coordinator last.
  void Stop();

 private:
  void RunGuarded(const std::function<void()>& part);
  void Fail(const Failure& failure);

  zmq::context_t context_;
  IndexerMetrics indexer_metrics_;
  WorkerMetrics worker_metrics_;
  CoordinatorMetrics coordinator_metrics_;
  RouterChannel router_;
  Service service_;
  CoordinatorLoop coordinator_loop_;
  CoordinatorClient client_;
  WorkerHealth worker_health_;
  IndexerProgress index_progress_;
  std::atomic<bool> indexer_ended_ = false;
  std::stop_source abort_;   // aborts the worker
  std::stop_source failed_;  // a part has failed, so waiting for it is pointless
  mutable std::mutex mutex_;
  std::optional<Failure> failure_;
  std::optional<std::string> indexer_failure_;
  std::jthread coordinator_, indexer_, worker_;
};

}  // namespace dicom_sender
