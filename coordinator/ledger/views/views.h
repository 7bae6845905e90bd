// The SQL views of a ledger: sessions, studies, instances, leases, not_read. docs/ledger.md is their contract: the
// names, columns, and meanings are the same in every store and do not depend on the tables behind them.
#pragma once

#include <string>

namespace dicom_sender {

enum class SqlDialect { kSqlite, kPostgresql };

// Statements that create the views. Execute them as the last step of creating or migrating the schema, in the same
// transaction. They have no parameters, and their table and view names have no schema prefix.
std::string LedgerViews(SqlDialect dialect);
// Drops the views of the earlier release before a migration, in both dialects. Use it only in a database that
// contains a ledger. In any other one, views with these names belong to something else.
std::string DropLedgerViews();

}  // namespace dicom_sender
