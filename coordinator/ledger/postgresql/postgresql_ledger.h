// The ledger in a PostgreSQL database, and the leader election among the coordinators that share it.
//
// Every transaction first reads and locks the row of its epoch (FOR KEY SHARE), so the next epoch cannot begin before
// the transaction has ended. After that, the row does not exist any more, and transactions of the earlier epoch fail
// with LedgerFenced. Commits are on the server's disk (synchronous_commit). If the connection is lost during a
// COMMIT, the ledger connects again and asks the server for the outcome.
//
// Needs PostgreSQL 14 or later, a database with the encoding UTF-8, and a user that may create tables in the first
// schema of its search_path. Text that is not UTF-8 or contains a NUL is stored escaped (EncodedText() in values.h).
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
  bool passing = false;  // retry later, for example while the server restarts; if false, a person must act
};

// Creates the schema or migrates it to this release, under a lock, so any number of coordinators may start at once.
// The functions of the result reconnect if the connection was lost. Renew() waits at most a quarter of the leader
// timeout, so that it can be retried in time; Look() and Release() wait for the whole timeout, and Take() for three
// times as long. Take() ends the connections of an earlier leader that block it. Look() fails if the schema has been
// migrated to another release in the meantime.
tl::expected<std::unique_ptr<Leadership>, LedgerTrouble> OpenLeadership(const PostgresqlOptions& options);

// For the leader of `epoch`. The schema must exist.
tl::expected<std::unique_ptr<Ledger>, LedgerTrouble> OpenPostgresqlLedger(const PostgresqlOptions& options,
                                                                          std::uint64_t epoch);

inline bool IsPostgresqlUri(std::string_view text) {
  return text.starts_with("postgresql://") || text.starts_with("postgres://");
}
// Checks that the URI is well-formed and has no password, because every user on the host can see command lines. The
// error is one sentence.
tl::expected<void, std::string> CheckUri(const std::string& uri);
// Returns the URI for logs, without any password. Accepts malformed URIs, too.
std::string RedactedUri(const std::string& uri);

}  // namespace dicom_sender
