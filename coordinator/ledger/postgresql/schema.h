// The tables of the ledger in PostgreSQL. They have the same names and contents as those of the SQLite ledger. Flags
// are 0 and 1.
#pragma once

#include "coordinator/ledger/postgresql/connection.h"

namespace dicom_sender {

// Creates the tables in the first schema of the search_path, or migrates them to this release, in one transaction.
// Other coordinators wait for its lock. Throws PostgresqlError, for example if the schema is from a newer release or
// if the user lacks a privilege.
void PrepareSchema(PostgresqlConnection& connection);

// Throws PostgresqlError if the tables do not exist or are from another release.
void CheckSchema(PostgresqlConnection& connection);
// The same for a version that has been read already. nullopt: the tables do not exist.
void CheckSchemaVersion(PostgresqlConnection& connection, std::optional<std::int64_t> version);

}  // namespace dicom_sender
