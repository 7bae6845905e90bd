// Who of several coordinators on one ledger leads: a record in the ledger's own store, which all of them see.
//
// The epoch is the fencing token: it grows with each new leader, and the ledger of an earlier epoch refuses every
// transaction with LedgerFenced. So whoever led before can write nothing, however late it notices.
//
// One thread at a time. All functions throw LedgerError where the store cannot be reached or fails.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct LeaderRecord {
  std::uint64_t epoch = 0;     // 0: nobody has ever led
  std::string leader;          // its name, for people; empty: the last one has handed over
  std::uint64_t renewals = 0;  // grows as long as the leader lives; begins anew with each epoch
  Duration leader_timeout{};   // its leader's; 0: not known
  bool operator==(const LeaderRecord&) const = default;
};

class Leadership {
 public:
  virtual ~Leadership() = default;

  virtual LeaderRecord Look() = 0;
  // Begins the epoch after `seen`, if the record is still that one: the new record, of which `leader` is the leader.
  // No transaction of an earlier epoch is open then any more, and none can be begun. Nothing: the record has changed,
  // or a transaction was in the way, which was ended; look again.
  virtual std::optional<LeaderRecord> Take(const LeaderRecord& seen, std::string_view leader) = 0;
  // False if another epoch has begun, or this one was released.
  virtual bool Renew(std::uint64_t epoch) = 0;
  // Hands over: whoever looks may take at once. False, and nothing, if another epoch has begun.
  virtual bool Release(std::uint64_t epoch) = 0;
};

}  // namespace dicom_sender
