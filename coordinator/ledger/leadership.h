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

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct LeaderRecord {
  std::uint64_t epoch = 0;     // 0: nobody has ever led
  std::string leader;          // its name, for people; empty: the last one has handed over
  std::uint64_t renewals = 0;  // grows as long as the leader lives; begins anew with each epoch
  bool operator==(const LeaderRecord&) const = default;
};

class Leadership {
 public:
  virtual ~Leadership() = default;

  virtual LeaderRecord Look() = 0;
  // Begins the epoch after `seen`, if the record is still that one: the new record, of which `leader` is the leader.
  // When it returns, no transaction of an earlier epoch is open any more, and none can be begun.
  virtual std::optional<LeaderRecord> Take(const LeaderRecord& seen, std::string_view leader) = 0;
  // False if another epoch has begun, or this one was released.
  virtual bool Renew(std::uint64_t epoch) = 0;
  // Hands over: whoever looks may take at once. Nothing, if another epoch has begun.
  virtual void Release(std::uint64_t epoch) = 0;
};

}  // namespace dicom_sender
