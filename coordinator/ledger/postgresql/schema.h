// The tables of the ledger in PostgreSQL: named and filled as those of the SQLite ledger, flags as 0 and 1.
#pragma once

#include "coordinator/ledger/postgresql/connection.h"

namespace dicom_sender {

// Creates the tables in the first schema of the search_path, or brings them up to this release, in one transaction
// and under a lock for which other coordinators wait. Throws PostgresqlError: of a newer release, or no rights.
void PrepareSchema(PostgresqlConnection& connection);

// Throws PostgresqlError if the tables are not there or not of this release.
void CheckSchema(PostgresqlConnection& connection);
// The same for a version that was read from them; none: they are not there.
void CheckSchemaVersion(PostgresqlConnection& connection, std::optional<std::int64_t> version);

}  // namespace dicom_sender
