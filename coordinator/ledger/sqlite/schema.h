// The tables of the ledger in SQLite. The tables in PostgreSQL have the same names and columns.
#pragma once

#include <string>

#include "coordinator/ledger/sqlite/connection.h"

namespace dicom_sender::sqlite {

inline constexpr int kSchemaVersion = 5;

// Returns the statements that create the tables of this release.
std::string Schema();

// Migrates the tables from `version` to this release. Returns false if the ledger is damaged.
bool Migrate(Connection& connection, int version);

}  // namespace dicom_sender::sqlite
