// Copies a whole ledger from an SQLite file into a PostgreSQL database, row by row as it is: keys, leases and what
// became of each instance stay what they are, and new ones go on from there.
//
// All of it in one transaction of the database: it is there whole, or not at all. Nobody else has the file open
// meanwhile, and it is left as it is, but that one of an older release is brought up to this one. Memory does not
// depend on the ledger's size.
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
    kUnknown,  // the connection was lost at the very end, and the server cannot be asked whether it was copied
  };
  std::string sentence;  // what is wrong and what to do, in one line without a password
  Kind kind = Kind::kRefused;
};

inline constexpr Duration kServerPatience = std::chrono::seconds(30);

// Called every few seconds: `table` is being copied, and `rows` of it were. `all`: what there is.
using CopyProgress = std::function<void(const std::string& table, std::uint64_t rows, const LedgerContent& all)>;

// `uri` as in CheckUri. The database's ledger is created if it is not there, and must be empty. What is returned was
// counted in both, and is equal. Nobody leads on the database meanwhile; coordinators that want to take up what was
// copied as after a restart. `patience`: with a server that is silent; and with twice that, whether it has committed
// is asked where the connection was lost at the commit.
tl::expected<LedgerContent, CopyTrouble> CopyLedger(const std::string& file, const std::string& uri,
                                                    const CopyProgress& progress,
                                                    Duration patience = kServerPatience);

}  // namespace dicom_sender
