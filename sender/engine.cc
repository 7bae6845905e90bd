#include "sender/engine.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace dicom_sender {
namespace {

constexpr const char* kClients = "inproc://clients";
constexpr const char* kWorkers = "inproc://workers";

}  // namespace

Engine::Engine(Ledger& ledger, const SchedulerOptions& options, prometheus::Registry& registry)
    : context_(0),  // inproc needs no I/O thread
      indexer_metrics_(registry),
      worker_metrics_(registry),
      coordinator_metrics_(registry),
      service_(ledger, options, coordinator_metrics_),
      coordinator_loop_(context_, {.clients = kClients, .workers = kWorkers}, service_),
      client_(context_, kClients) {
  coordinator_ = std::jthread([this](std::stop_token stop) { RunGuarded([&] { coordinator_loop_.Run(stop); }); });
}

void Engine::StartIndexer(IndexerOptions options) {
  indexer_ = std::jthread([this, options = std::move(options)](std::stop_token stop) {
    RunGuarded([&] {
      CoordinatorClient client(context_, kClients);
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
    const WorkerOptions options{.endpoint = kWorkers, .worker_id = "dicom-sender", .threads = threads};
    RunGuarded([&] { RunWorker(context_, options, worker_metrics_, observer, drain, abort_.get_token()); });
  });
}

void Engine::RunGuarded(const std::function<void()>& part) {
  try {
    part();
  } catch (const std::exception& error) {
    Fail(error.what());
  }
}

void Engine::Fail(const std::string& reason) {
  spdlog::error("{}", reason);
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = reason;
  }
  failed_.request_stop();
  abort_.request_stop();
}

tl::expected<wire::ClientReply, std::string> Engine::Ask(wire::ClientRequest request) {
  auto reply = client_.Call(std::move(request), failed_.get_token());
  if (reply) return reply;
  return tl::unexpected(failure().value_or(reply.error()));
}

std::optional<std::string> Engine::failure() const {
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
