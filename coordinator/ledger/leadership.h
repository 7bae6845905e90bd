// The leader record of a ledger that several coordinators share. The ledger's own store keeps it, so all of them see
// it.
//
// The epoch is the fencing token. It increases with each new leader, and a ledger that was opened in an earlier epoch
// rejects every transaction with LedgerFenced. So a former leader cannot write anything, however late it notices that
// it was replaced.
//
// Not thread-safe. All functions throw LedgerError if the store is unreachable or fails.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct LeaderRecord {
  std::uint64_t epoch = 0;     // 0: there has never been a leader
  std::string leader;          // its name, for people; empty: the last leader handed over
  std::uint64_t renewals = 0;  // increases while the leader is alive; each epoch starts at 0
  Duration leader_timeout{};   // the setting of the leader; 0: unknown
  bool operator==(const LeaderRecord&) const = default;
};

class Leadership {
 public:
  virtual ~Leadership() = default;

  virtual LeaderRecord Look() = 0;
  // If the record is still `seen`, starts the next epoch with `leader` as its leader and returns the new record. From
  // then on, no transaction of an earlier epoch is open, and none can begin. Returns nullopt if the record has
  // changed, or if an open transaction blocked the change and was ended; the caller should look again.
  virtual std::optional<LeaderRecord> Take(const LeaderRecord& seen, std::string_view leader) = 0;
  // Returns false if another epoch has begun, or this one was released.
  virtual bool Renew(std::uint64_t epoch) = 0;
  // Hands over: another coordinator may take the leadership at once. Returns false, and changes nothing, if another
  // epoch has begun.
  virtual bool Release(std::uint64_t epoch) = 0;
};

}  // namespace dicom_sender
