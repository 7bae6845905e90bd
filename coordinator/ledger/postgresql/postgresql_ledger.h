// The ledger in a PostgreSQL database, and who of several coordinators leads on it.
//
// Every transaction begins with a look at the epoch that locks it (FOR KEY SHARE): another one cannot begin before
// the transaction has ended, and afterwards the look finds nothing and the transaction is refused with LedgerFenced.
// What was committed is on the server's disk (synchronous_commit). If the connection is lost while a COMMIT is under
// way, the server is asked on a new one what became of it.
//
// Needs PostgreSQL 14 or later, a database with encoding UTF-8, and a user who may create tables in the first schema
// of its search_path. Text that is not UTF-8 or has a NUL is kept escaped (EncodedText in connection.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "coordinator/ledger/leadership.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/postgresql/connection.h"

namespace dicom_sender {

struct LedgerTrouble {
  std::string sentence;  // what is wrong and what to do, in one line without a password
  bool passing = false;  // server away, starting, too many connections: try again later; otherwise a person must act
};

// Creates the schema or brings it up to this release, under a lock: any number of coordinators may start at once.
// Its functions connect again where the connection was lost. Renew waits for a quarter of the leader time-out at
// most, so that it can be tried again in time; Look and Release for the whole, Take for three of it. Take ends the
// connections of an earlier leader that hold it up. Look refuses a schema that is not of this release any more.
tl::expected<std::unique_ptr<Leadership>, LedgerTrouble> OpenLeadership(const PostgresqlOptions& options);

// For the leader of `epoch`. The schema must be there.
tl::expected<std::unique_ptr<Ledger>, LedgerTrouble> OpenPostgresqlLedger(const PostgresqlOptions& options,
                                                                          std::uint64_t epoch);

inline bool IsPostgresqlUri(std::string_view text) {
  return text.starts_with("postgresql://") || text.starts_with("postgres://");
}
// Well-formed, and without a password: a command line is seen by everybody on the host. The error is one sentence.
tl::expected<void, std::string> CheckUri(const std::string& uri);
// What may be logged: without any password, also if it is not well-formed.
std::string RedactedUri(const std::string& uri);

}  // namespace dicom_sender
