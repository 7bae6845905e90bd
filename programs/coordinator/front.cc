#include "programs/coordinator/front.h"

#include <fmt/format.h>

#include "cli/program_options.h"
#include "common/metrics.h"

namespace dicom_sender {
namespace {

// A phase turns at least once a second, but one step in a very large ledger takes a while.
constexpr std::chrono::seconds kStuckAfter(300);

Face BetweenPhases() {
  auto registry = std::make_shared<prometheus::Registry>();
  LeaderMetrics(*registry).leader.Set(0);
  return {
      .registry = std::move(registry),
      .progress = {},
      .pages = {{"/readyz", [] { return HttpPage{.status = 503, .body = "neither leading nor standing by\n"}; }}}};
}

}  // namespace

std::optional<std::string> BusySince(TimePoint last_sign, Duration limit) {
  const Duration silence = MonotonicNow() - last_sign;
  if (silence < limit) return std::nullopt;
  return fmt::format("busy for {} s", std::chrono::floor<std::chrono::seconds>(silence).count());
}

Front::Front(std::optional<std::string> address, std::stop_token stop)
    : address_(std::move(address)), stop_(std::move(stop)) {}

tl::expected<std::unique_ptr<Front::Shown>, std::string> Front::Show(Face face) {
  if (auto served = Serve(std::move(face)); !served) return tl::unexpected(std::move(served.error()));
  return std::make_unique<Shown>(*this);
}

void Front::Ready(const std::string& status) {
  if (!manager_) manager_ = std::make_unique<ServiceManager>([this] { return Health(kStuckAfter); }, stop_);
  manager_->Ready(status);
}

void Front::Note() {
  const std::lock_guard lock(mutex_);
  progress_.Note();
}

std::optional<std::string> Front::Health(Duration limit) const {
  const std::lock_guard lock(mutex_);
  return BusySince(progress_.at(), limit);
}

void Front::Hide() { Serve(BetweenPhases()); }

tl::expected<void, std::string> Front::Serve(Face face) {
  {
    const std::lock_guard lock(mutex_);
    progress_ = face.progress;
  }
  if (!address_) return {};
  HttpServerOptions options{.address = *address_,
                            .version = std::string(ProgramVersion()),
                            .registry = std::move(face.registry),
                            .health = [progress = face.progress] { return BusySince(progress.at(), kStuckAfter); },
                            .readiness = nullptr,
                            .pages = std::move(face.pages)};
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
