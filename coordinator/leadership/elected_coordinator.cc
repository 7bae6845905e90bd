#include "coordinator/leadership/elected_coordinator.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <thread>

#include "coordinator/leadership/bound_socket.h"
#include "coordinator/leadership/leader.h"
#include "coordinator/leadership/standby.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kLedgerWaitMin(1), kLedgerWaitMax(10);

// Tells people which of several coordinators this is. The random number makes it unique: containers may share a host
// name, and each of them may run as process 1.
std::string OwnName(const std::string& bind) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("{} at {} (process {}, {:08x})", host.data(), bind, getpid(), std::random_device()());
}

// Ends the waits for the ledger at once when the leadership is lost, and after a grace period when a stop is
// requested: a statement may take much longer than an operator waits for the process to end.
class LedgerWaitLimit {
 public:
  LedgerWaitLimit(std::stop_token lost, std::stop_token stop, Duration leader_timeout)
      : on_lost_(std::move(lost), [this] { give_up_.Raise(); }),
        on_stop_(std::move(stop), [this] { stopping_.Raise(); }),
        grace_(std::clamp<Duration>(leader_timeout / 2, kLedgerWaitMin, kLedgerWaitMax)),
        thread_([this] { Run(); }) {}
  ~LedgerWaitLimit() {
    done_.Raise();
    stopping_.Raise();
    thread_.join();
  }
  LedgerWaitLimit(const LedgerWaitLimit&) = delete;
  LedgerWaitLimit& operator=(const LedgerWaitLimit&) = delete;

  const WakeEvent& give_up() const { return give_up_; }

 private:
  void Run() {
    while (!stopping_.WaitFor(std::chrono::minutes(1))) {
    }
    if (!done_.WaitFor(grace_)) give_up_.Raise();
  }

  WakeEvent give_up_, stopping_, done_;
  const std::stop_callback<std::function<void()>> on_lost_, on_stop_;
  const Duration grace_;
  std::thread thread_;
};

void RunElectedLeader(const CoordinatorContext& context, const SharedLedger& shared, LeadershipRenewer& renewer,
                      const std::stop_token& stop) {
  std::stop_source end;
  const auto end_it = [&end] { end.request_stop(); };
  const std::stop_callback on_stop(stop, end_it), on_lost(renewer.lost(), end_it);
  const LedgerWaitLimit limit(renewer.lost(), stop, context.leader_timeout);
  try {
    const Progress progress;
    const auto ledger = shared.open_ledger(renewer.epoch(), &limit.give_up(), progress);
    if (!ledger) throw LedgerError(ledger.error().sentence);
    const auto served = RunLeader(context, **ledger,
                                  {.is_leader = [&renewer] { return renewer.IsLeader(); },
                                   .role = fmt::format("leading, epoch {}", renewer.epoch()),
                                   .progress = progress,
                                   .bind_within = kRebindWithin},
                                  end.get_token());
    if (end.stop_requested()) return;
    if (served) return renewer.Lose("its leader lease expired");
    spdlog::warn("Giving up the leadership, epoch {}: {}", renewer.epoch(), served.error());
  } catch (const LedgerFenced&) {
    renewer.Lose("another coordinator is the leader now");
  } catch (const LedgerError& error) {
    if (!stop.stop_requested()) return renewer.Lose(error.what());
    spdlog::warn("Stopping without waiting for the ledger: {}; peers repeat what was not committed", error.what());
  }
}

}  // namespace

tl::expected<void, std::string> RunElectedCoordinator(const CoordinatorContext& context, const SharedLedger& ledger,
                                                      std::stop_token stop) {
  const std::string name = OwnName(context.bind);
  for (bool first = true; !stop.stop_requested(); first = false) {
    auto renewer = RunStandby(context, ledger, name, first, stop);
    if (!renewer) return stop.stop_requested() ? tl::expected<void, std::string>() : tl::unexpected(renewer.error());
    if (!*renewer) break;
    if (stop.stop_requested()) {
      (*renewer)->Release();
      break;
    }
    RunElectedLeader(context, ledger, **renewer, stop);
    // After a failure of the ledger, the leadership is left to time out instead of being handed over, so that a
    // coordinator with a working connection has time to take over.
    if (const std::string why = (*renewer)->why_lost(); !why.empty()) {
      spdlog::error("Stepped down, epoch {}: {}; nothing was acknowledged after that", (*renewer)->epoch(), why);
    } else {
      (*renewer)->Release();
    }
  }
  return {};
}

}  // namespace dicom_sender
