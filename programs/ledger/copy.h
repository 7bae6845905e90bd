// Copies a whole ledger from an SQLite file into a PostgreSQL database, row by row and unchanged: keys, leases, and
// the states of the instances stay the same, and new keys continue after the copied ones.
//
// The copy is one transaction of the database, so all of the ledger arrives or nothing. During the copy, no other
// program can open the file. The file stays unchanged, except that a ledger of an older release is upgraded. Memory
// does not depend on the ledger's size.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <tl/expected.hpp>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct LedgerContent {
  std::uint64_t sessions = 0;
  std::uint64_t studies = 0;
  std::array<std::uint64_t, 6> instances{};  // by InstanceState

  std::uint64_t all_instances() const;
  friend bool operator==(const LedgerContent&, const LedgerContent&) = default;
};

struct CopyTrouble {
  enum class Kind {
    kRefused,
    kServer,   // the database could not be reached or failed; nothing was copied
    kUnknown,  // the connection was lost at the commit, and the server cannot be asked whether it has committed
  };
  std::string sentence;  // what is wrong and what to do, in one line without a password
  Kind kind = Kind::kRefused;
};

inline constexpr Duration kServerPatience = std::chrono::seconds(30);

// Called every few seconds while `table` is being copied; `rows` of its rows are copied. `all` counts the whole
// ledger.
using CopyProgress = std::function<void(const std::string& table, std::uint64_t rows, const LedgerContent& all)>;

// `uri` is as in CheckUri. The database's ledger must be empty; it is created if it is missing. The result was
// counted in both ledgers, and the counts are equal. During the copy, no coordinator is the leader on the database;
// afterwards, coordinators continue with the copied sessions as after a restart. `patience` limits the wait for a
// silent server. If the connection is lost at the commit, the server is asked for twice that time whether it has
// committed.
tl::expected<LedgerContent, CopyTrouble> CopyLedger(const std::string& file, const std::string& uri,
                                                    const CopyProgress& progress,
                                                    Duration patience = kServerPatience);

}  // namespace dicom_sender
