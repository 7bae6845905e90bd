// The phase in which this coordinator is the leader: it runs the service, its loop, the summaries, and the status
// page.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "common/progress.h"
#include "coordinator/leadership/coordinator_context.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct LeaderOptions {
  std::function<bool()> is_leader = {};     // empty: always the leader
  std::string role = {};                    // for people; empty unless several coordinators share the ledger
  Progress progress = {};                   // noted by the leader and by its ledger
  std::function<void()> every_second = {};  // see CoordinatorHooks
  Duration bind_within{};                   // see BoundSocket::Bind
};

// Serves until a stop is requested or `is_leader` returns false, and then leaves nothing behind. The error is one
// sentence: an address could not be bound. Throws LedgerError.
tl::expected<void, std::string> RunLeader(const CoordinatorContext& context, Ledger& ledger,
                                          const LeaderOptions& options, std::stop_token stop);

}  // namespace dicom_sender
