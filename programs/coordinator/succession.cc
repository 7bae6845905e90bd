#include "programs/coordinator/succession.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <thread>

#include "programs/coordinator/lead.h"
#include "programs/coordinator/stand_by.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kLedgerWaitMin(1), kLedgerWaitMax(10);

// For people: which one of several coordinators. No other process has it: containers may have one host name, and all
// of them the process 1.
std::string OwnName(const std::string& bind) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("{} at {} (process {}, {:08x})", host.data(), bind, getpid(), std::random_device()());
}

// Ends the waits for the ledger when the leadership is lost, and some time after a stop was requested: a statement
// may wait for very long, and whoever wants us to stop does not.
class LedgerPatience {
 public:
  LedgerPatience(std::stop_token lost, std::stop_token stop, Duration leader_timeout)
      : on_lost_(std::move(lost), [this] { give_up_.Raise(); }),
        on_stop_(std::move(stop), [this] { ends_.Raise(); }),
        wait_(std::clamp<Duration>(leader_timeout / 2, kLedgerWaitMin, kLedgerWaitMax)),
        thread_([this] { Run(); }) {}
  ~LedgerPatience() {
    over_.Raise();
    ends_.Raise();
    thread_.join();
  }
  LedgerPatience(const LedgerPatience&) = delete;
  LedgerPatience& operator=(const LedgerPatience&) = delete;

  const WakeEvent& give_up() const { return give_up_; }

 private:
  void Run() {
    while (!ends_.WaitFor(std::chrono::minutes(1))) {
    }
    if (!over_.WaitFor(wait_)) give_up_.Raise();
  }

  WakeEvent give_up_, ends_, over_;
  const std::stop_callback<std::function<void()>> on_lost_, on_stop_;
  const Duration wait_;
  std::thread thread_;
};

void LeadByMandate(const Site& site, const LedgerStore& store, Keeper& keeper, const std::stop_token& stop) {
  std::stop_source end;
  const auto end_it = [&end] { end.request_stop(); };
  const std::stop_callback on_stop(stop, end_it), on_lost(keeper.lost(), end_it);
  const LedgerPatience patience(keeper.lost(), stop, site.leader_timeout);
  try {
    const Progress progress;
    const auto ledger = store.open_ledger(keeper.epoch(), &patience.give_up(), progress);
    if (!ledger) throw LedgerError(ledger.error().sentence);
    const auto led = Lead(site, **ledger,
                          {.leads = [&keeper] { return keeper.Leads(); },
                           .role = fmt::format("leading, epoch {}", keeper.epoch()),
                           .progress = progress,
                           .bind_within = kRebindWithin},
                          end.get_token());
    if (end.stop_requested()) return;
    if (led) return keeper.Lose("its time ran out");
    spdlog::warn("Leads no more, epoch {}: {}", keeper.epoch(), led.error());
  } catch (const LedgerFenced&) {
    keeper.Lose("another coordinator leads now");
  } catch (const LedgerError& error) {
    if (!stop.stop_requested()) return keeper.Lose(error.what());
    spdlog::warn("The ledger is not waited for: {}; what was not committed comes again", error.what());
  }
}

}  // namespace

tl::expected<void, std::string> RunSuccession(const Site& site, const LedgerStore& store, std::stop_token stop) {
  const std::string name = OwnName(site.options.bind);
  for (bool first = true; !stop.stop_requested(); first = false) {
    auto keeper = StandBy(site, store, name, first, stop);
    if (!keeper) return stop.stop_requested() ? tl::expected<void, std::string>() : tl::unexpected(keeper.error());
    if (!*keeper) break;
    if (stop.stop_requested()) {
      (*keeper)->Release();
      break;
    }
    LeadByMandate(site, store, **keeper, stop);
    // A ledger that failed here is left to whoever is in better health: nobody takes over before the time-out.
    if (const std::string why = (*keeper)->why_lost(); !why.empty()) {
      spdlog::error("Stepped down, epoch {}: {}; nothing was acknowledged since", (*keeper)->epoch(), why);
    } else {
      (*keeper)->Release();
    }
  }
  return {};
}

}  // namespace dicom_sender
