// The views of a ledger for people with SQL: sessions, studies, instances, leases. docs/ledger.md is their contract:
// the same names, columns and meanings in every store, whatever becomes of the tables behind them.
#pragma once

#include <string>

namespace dicom_sender {

enum class SqlDialect { kSqlite, kPostgresql };

// Statements that make the views, as the last step of making or migrating the schema and in its transaction. They
// have no parameters, and name tables and views without a schema.
std::string LedgerViews(SqlDialect dialect);
// Before a migration: drops those of the former release. For both dialects. Never where no ledger is yet: views of
// these names are somebody else's there.
std::string DropLedgerViews();

}  // namespace dicom_sender
