// The tables of the ledger in SQLite. Those of the ledger in PostgreSQL have the same names and columns.
#pragma once

#include <string>

#include "coordinator/ledger/sqlite/connection.h"

namespace dicom_sender::sqlite {

inline constexpr int kSchemaVersion = 5;

// Creates the tables of this release.
std::string Schema();

// Brings the tables from this version up to this release. False: the ledger is damaged.
bool Migrate(Connection& connection, int version);

}  // namespace dicom_sender::sqlite
