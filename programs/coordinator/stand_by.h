// The phase in which this coordinator stands by: it answers whoever asks with who leads, until it leads itself.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "programs/coordinator/keeper.h"
#include "programs/coordinator/ledger_store.h"
#include "programs/coordinator/site.h"

namespace dicom_sender {

// `first`: nothing was bound before, and a ledger that cannot be used is an error. Returns the leadership that it has
// taken, or nullptr when a stop was requested before; nothing else of the phase is left then. The error is one
// sentence.
tl::expected<std::unique_ptr<Keeper>, std::string> StandBy(const Site& site, const LedgerStore& store,
                                                           const std::string& name, bool first, std::stop_token stop);

}  // namespace dicom_sender
