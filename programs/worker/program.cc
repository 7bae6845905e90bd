#include "programs/worker/program.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "common/http_server.h"
#include "common/service_manager.h"
#include "common/text.h"
#include "programs/worker/worker_name.h"
#include "worker/loop/folder_watch.h"
#include "worker/loop/outcome_log.h"
#include "worker/loop/worker_loop.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kStuckAfter(60);    // the loop turns at least once a second
constexpr std::chrono::seconds kUnheardAfter(30);  // the coordinator answers a status every 10 s

// Requests an abort at the second signal, or when the grace period after the first one is over.
class Abort {
 public:
  Abort(StopSignals& signals, std::chrono::seconds grace)
      : on_second_(signals.abort_token(), [this] { source_.request_stop(); }),
        timer_([this, grace, drain = signals.stop_token()](std::stop_token end) { Wait(drain, end, grace); }) {}

  std::stop_token token() const { return source_.get_token(); }

 private:
  void Wait(const std::stop_token& drain, const std::stop_token& end, std::chrono::seconds grace) {
    // Without the lock, a notification between the check of the condition and the wait would be lost.
    const std::stop_callback wake(drain, [this] {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, end, [&] { return drain.stop_requested(); });
    if (end.stop_requested()) return;
    if (changed_.wait_for(lock, end, grace, [] { return false; }) || end.stop_requested()) return;
    spdlog::warn("The grace period of {} s is over", grace.count());
    source_.request_stop();
  }

  std::stop_source source_;
  std::stop_callback<std::function<void()>> on_second_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread timer_;  // must be last: it uses the others
};

std::vector<std::string> FoldersOf(const PathMap& path_map) {
  std::vector<std::string> folders;
  for (const PathMapping& mapping : path_map.mappings()) folders.push_back(mapping.to);
  return folders;
}

// Finds a typing error or a missing mount now rather than with the first study.
tl::expected<void, std::string> CheckPathMap(const PathMap& path_map) {
  for (const PathMapping& mapping : path_map.mappings()) {
    std::error_code error;
    if (std::filesystem::is_directory(mapping.to, error)) continue;
    return tl::unexpected(fmt::format("--path-map {}={}: {}: {}; mount it, or correct the option",
                                      ToPrintable(mapping.from), ToPrintable(mapping.to), ToPrintable(mapping.to),
                                      error ? error.message() : "Not a directory"));
  }
  return {};
}

HttpCheck SilentFor(const std::atomic<Duration::rep>& last, std::chrono::seconds limit, const char* what) {
  return [&last, limit, what]() -> std::optional<std::string> {
    const TimePoint time{Duration(last.load())};
    if (MonotonicNow() - time < limit) return std::nullopt;
    return fmt::format("{} for more than {} s", what, limit.count());
  };
}

}  // namespace

tl::expected<int, WorkerFailure> RunWorkerProgram(const WorkerProgramOptions& options, StopSignals& signals) {
  const auto fails = [](int exit_status, std::string reason) {
    return tl::unexpected(WorkerFailure{exit_status, std::move(reason)});
  };
  const auto security = ReadSecurity(options.connection);
  if (!security) return fails(kExitUsage, security.error());
  if (auto checked = CheckPathMap(options.path_map); !checked) return fails(kExitUsage, std::move(checked.error()));
  const FolderWatch storage(FoldersOf(options.path_map));
  std::optional<WorkerName> name;
  if (!options.worker_id) name.emplace();
  const std::string worker_id = name ? name->text() : *options.worker_id;

  const auto registry = std::make_shared<prometheus::Registry>();
  WorkerMetrics metrics(*registry);
  WorkerHealth health;
  health.last_round = MonotonicNow().time_since_epoch().count();
  std::unique_ptr<HttpServer> http;
  if (options.service.metrics) {
    auto started = HttpServer::Start(
        {.address = *options.service.metrics,
         .version = std::string(ProgramVersion()),
         .registry = registry,
         .health = SilentFor(health.last_round, kStuckAfter, "stuck"),
         .readiness = [heard = SilentFor(health.last_heard, kUnheardAfter, "the coordinator has not answered"),
                       &storage]() -> std::optional<std::string> {
           if (std::string reason = storage.Reason(); !reason.empty()) return reason;
           return heard();
         }});
    if (!started) return fails(kExitUsage, std::move(started.error()));
    http = *std::move(started);
  }

  zmq::context_t context;
  DealerChannel channel(context, options.connection.coordinators(), *security ? &**security : nullptr);
  OutcomeLog outcomes(options.service.verbose);
  Abort abort(signals, options.grace_period);
  spdlog::info("Worker {} starts with {} threads for coordinator {}", worker_id, options.threads,
               options.connection.text());
  const ServiceManager manager(SilentFor(health.last_round, kStuckAfter, "stuck"), signals.stop_token());
  manager.Ready(fmt::format("worker {} of {}", worker_id, options.connection.text()));
  const auto done = RunWorker(channel,
                              {.worker_id = worker_id,
                               .threads = options.threads,
                               .path_map = options.path_map,
                               .not_ready = [&storage] { return storage.Reason(); }},
                              metrics, outcomes, health, signals.stop_token(), abort.token());
  if (!done) return fails(kExitDestination, done.error());
  const bool aborted = abort.token().stop_requested();
  spdlog::info("Worker {} {}", worker_id, aborted ? "was aborted" : "has drained");
  return aborted ? kExitInterrupted : kExitAllStored;
}

}  // namespace dicom_sender
