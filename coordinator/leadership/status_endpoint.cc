#include "coordinator/leadership/status_endpoint.h"

#include <fmt/format.h>

#include "cli/program_options.h"
#include "coordinator/leadership/metrics.h"

namespace dicom_sender {
namespace {

// A phase makes progress at least once a second, but one step in a very large ledger can take much longer.
constexpr std::chrono::seconds kStuckAfter(300);

PhaseStatus StatusBetweenPhases() {
  auto registry = std::make_shared<prometheus::Registry>();
  LeaderMetrics(*registry).leader.Set(0);
  return {.registry = std::move(registry),
          .progress = {},
          .pages = {{"/readyz", [] {
                       return HttpPage{.status = 503, .body = "changing roles: neither leader nor standby\n"};
                     }}}};
}

}  // namespace

std::optional<std::string> BusySince(TimePoint last_progress, Duration limit) {
  const Duration silence = MonotonicNow() - last_progress;
  if (silence < limit) return std::nullopt;
  return fmt::format("busy for {} s", std::chrono::floor<std::chrono::seconds>(silence).count());
}

StatusEndpoint::StatusEndpoint(std::optional<std::string> address, std::stop_token stop)
    : address_(std::move(address)), stop_(std::move(stop)) {}

tl::expected<std::unique_ptr<StatusEndpoint::Publication>, std::string> StatusEndpoint::Publish(PhaseStatus status) {
  if (auto served = Serve(std::move(status)); !served) return tl::unexpected(std::move(served.error()));
  return std::make_unique<Publication>(*this);
}

void StatusEndpoint::ReportReady(const std::string& status) {
  if (!manager_) manager_ = std::make_unique<ServiceManager>([this] { return Health(kStuckAfter); }, stop_);
  manager_->Ready(status);
}

void StatusEndpoint::NoteProgress() {
  const std::lock_guard lock(mutex_);
  progress_.Note();
}

std::optional<std::string> StatusEndpoint::Health(Duration limit) const {
  const std::lock_guard lock(mutex_);
  return BusySince(progress_.at(), limit);
}

void StatusEndpoint::Withdraw() { Serve(StatusBetweenPhases()); }

tl::expected<void, std::string> StatusEndpoint::Serve(PhaseStatus status) {
  {
    const std::lock_guard lock(mutex_);
    progress_ = status.progress;
  }
  if (!address_) return {};
  HttpServerOptions options{.address = *address_,
                            .version = std::string(ProgramVersion()),
                            .registry = std::move(status.registry),
                            .health = [progress = status.progress] { return BusySince(progress.at(), kStuckAfter); },
                            .readiness = nullptr,
                            .pages = std::move(status.pages)};
  if (http_) {
    http_->Replace(std::move(options));
    return {};
  }
  auto started = HttpServer::Start(std::move(options));
  if (!started) return tl::unexpected(std::move(started.error()));
  http_ = *std::move(started);
  return {};
}

}  // namespace dicom_sender
