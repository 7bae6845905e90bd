#include "engine/engine.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "common/store_error.h"

namespace dicom_sender {
namespace {

constexpr const char* kCoordinator = "inproc://coordinator";

}  // namespace

Engine::Engine(Ledger& ledger, const SchedulerOptions& options, prometheus::Registry& registry,
               CoordinatorHooks hooks)
    : context_(0),  // inproc needs no I/O thread
      indexer_metrics_(registry),
      worker_metrics_(registry),
      coordinator_metrics_(registry),
      router_(context_, kCoordinator),
      service_(ledger, options, coordinator_metrics_, /*output_dir=*/{}),
      coordinator_loop_(router_, service_, std::move(hooks)),
      client_(context_, {kCoordinator}) {
  coordinator_ = std::jthread([this](std::stop_token stop) { RunGuarded([&] { coordinator_loop_.Run(stop); }); });
}

void Engine::StartIndexer(IndexerOptions options) {
  indexer_ = std::jthread([this, options = std::move(options)](std::stop_token stop) {
    RunGuarded([&] {
      CoordinatorClient client(context_, {kCoordinator});
      const auto done = RunIndexer(options, client, indexer_metrics_, index_progress_, stop);
      if (done || stop.stop_requested()) return;
      const std::lock_guard lock(mutex_);
      indexer_failure_ = done.error();
    });
    indexer_ended_ = true;
  });
}

void Engine::StartWorker(unsigned threads, SendingObserver& observer) {
  worker_ = std::jthread([this, threads, &observer](std::stop_token drain) {
    RunGuarded([&] {
      DealerChannel channel(context_, {kCoordinator});
      const WorkerOptions options{
          .worker_id = "dicom-sender", .threads = threads, .path_map = {}, .watches_clock = false};
      const auto done =
          RunWorker(channel, options, worker_metrics_, observer, worker_health_, drain, abort_.get_token());
      if (!done) Fail({kExitInternal, done.error()});
    });
  });
}

Duration Engine::unanswered_for() const {
  const Duration since(worker_health_.unanswered_since);
  return since == Duration(0) ? Duration(0) : MonotonicNow().time_since_epoch() - since;
}

void Engine::RunGuarded(const std::function<void()>& part) {
  try {
    part();
  } catch (const StoreError& error) {
    Fail({kExitCannotWrite, error.what()});
  } catch (const std::exception& error) {
    Fail({kExitInternal, error.what()});
  }
}

void Engine::Fail(const Failure& failure) {
  spdlog::error("{}", failure.sentence);
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = failure;
  }
  failed_.request_stop();
  abort_.request_stop();
}

tl::expected<wire::ClientReply, Failure> Engine::Ask(wire::ClientRequest request) {
  auto reply = client_.Call(std::move(request), failed_.get_token());
  if (reply) return *std::move(reply);
  return tl::unexpected(failure().value_or(Failure{kExitInternal, reply.error().reason}));
}

std::optional<Failure> Engine::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::optional<std::string> Engine::indexer_failure() const {
  const std::lock_guard lock(mutex_);
  return indexer_failure_;
}

void Engine::Stop() {
  for (std::jthread* part : {&indexer_, &worker_, &coordinator_}) {
    part->request_stop();
    if (part->joinable()) part->join();
  }
}

}  // namespace dicom_sender
