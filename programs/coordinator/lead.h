// The phase in which this coordinator leads: the service, its loop, its summaries, its pages.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "common/progress.h"
#include "coordinator/ledger/ledger.h"
#include "programs/coordinator/site.h"

namespace dicom_sender {

struct Reign {
  std::function<bool()> leads = {};         // empty: always
  std::string role = {};                    // for people, where there are several coordinators
  Progress progress = {};                   // noted while something is done; by the ledger, too
  std::function<void()> every_second = {};  // see CoordinatorHooks
  Duration bind_within{};                   // see Door::Open
};

// Serves until a stop is requested (also when it does not lead any more); nothing of it is left when it returns. The
// error is one sentence: what could not be bound. Throws LedgerError.
tl::expected<void, std::string> Lead(const Site& site, Ledger& ledger, const Reign& reign, std::stop_token stop);

}  // namespace dicom_sender
