// Indexer, coordinator and worker in one process: the same libraries as in processes of their own, wired over inproc.
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

// Why a run ends early: what to say and the exit status.
struct Failure {
  int exit_status = kExitInternal;
  std::string sentence;
};

// Used by one thread. The parts run in threads of their own from Start... until Stop.
class Engine {
 public:
  // Starts the coordinator. The ledger is the coordinator's until Stop() has returned.
  Engine(Ledger& ledger, const SchedulerOptions& options, prometheus::Registry& registry, CoordinatorHooks hooks);
  ~Engine() { Stop(); }

  // Asks the coordinator. The error is its own, or why there will be no answer any more.
  tl::expected<wire::ClientReply, Failure> Ask(wire::ClientRequest request);

  void StartIndexer(IndexerOptions options);
  void StopIndexer() { indexer_.request_stop(); }
  const IndexerProgress& index_progress() const { return index_progress_; }
  bool indexer_ended() const { return indexer_ended_; }
  // Why it ended before the scan was complete, one sentence; nullopt: it did not, or was told to.
  std::optional<std::string> indexer_failure() const;

  void StartWorker(unsigned threads, SendingObserver& observer);
  // How long the destination has not answered an association request; 0: none waits.
  Duration unanswered_for() const;
  void DrainWorker() { worker_.request_stop(); }  // no further instance is begun
  void AbortWorker() { abort_.request_stop(); }   // waits for nothing on the network any more

  // Why coordinator or worker ended before their time; nullopt: they did not.
  std::optional<Failure> failure() const;

  // Ends every part and waits for it: the indexer at the next file, the worker when its instances in flight are done
  // and reported, the coordinator last.
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
  std::stop_source abort_;   // of the worker
  std::stop_source failed_;  // a part has failed: nobody should wait for it
  mutable std::mutex mutex_;
  std::optional<Failure> failure_;
  std::optional<std::string> indexer_failure_;
  std::jthread coordinator_, indexer_, worker_;
};

}  // namespace dicom_sender
