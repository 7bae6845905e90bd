#include "coordinator/program/succession.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>

#include "coordinator/program/lead.h"
#include "coordinator/program/stand_by.h"

namespace dicom_sender {
namespace {

// For people: which one of several coordinators.
std::string OwnName(const std::string& bind) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("{} at {} (process {})", host.data(), bind, getpid());
}

tl::expected<void, std::string> LeadByMandate(const Site& site, const LedgerStore& store, Keeper& keeper,
                                              const std::stop_token& stop) {
  std::stop_source end;
  const auto end_it = [&end] { end.request_stop(); };
  const std::stop_callback on_stop(stop, end_it), on_lost(keeper.lost(), end_it);
  try {
    const auto ledger = store.open_ledger(keeper.epoch(), &keeper.give_up());
    if (!ledger) throw LedgerError(ledger.error().sentence);
    auto led = Lead(site, **ledger,
                    {.leads = [&keeper] { return keeper.Leads(); },
                     .role = fmt::format("leading, epoch {}", keeper.epoch()),
                     .bind_within = kRebindWithin},
                    end.get_token());
    if (!led && !end.stop_requested()) return led;
    if (!stop.stop_requested()) keeper.Lose("its time ran out");
  } catch (const LedgerFenced&) {
    keeper.Lose("another coordinator leads now");
  } catch (const LedgerError& error) {
    keeper.Lose(error.what());
  }
  return {};
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
    auto led = LeadByMandate(site, store, **keeper, stop);
    // A ledger that failed here is left to whoever is in better health: nobody takes over before the time-out.
    if (const std::string why = (*keeper)->why_lost(); !why.empty()) {
      spdlog::error("Stepped down, epoch {}: {}; nothing was written since", (*keeper)->epoch(), why);
    } else {
      (*keeper)->Release();
    }
    if (!led) return led;
  }
  return {};
}

}  // namespace dicom_sender
