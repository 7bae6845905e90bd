#include "programs/ledger/options.h"

#include <fmt/format.h>

#include "common/text.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-ledger";

Program Describe() {
  return {.name = kProgram,
          .about =
              "Copies a coordinator's ledger from a file into a PostgreSQL database.\n"
              "\n"
              "  dicom-ledger copy FILE postgresql://USER@HOST:PORT/DATABASE\n"
              "\n"
              "Stop the coordinator that has the file, copy, and start coordinators with --ledger and the URI:\n"
              "sessions that have not ended continue as after a restart. Everything is copied in one\n"
              "transaction and counted on both sides. The file stays as it is; do not start a coordinator on it\n"
              "again.\n"
              "\n"
              "The URI is libpq's. Put a password into PGPASSWORD, a password file (PGPASSFILE), or a service file,\n"
              "never into the URI.\n"
              "\n"
              "Commands\n"
              "  copy FILE URI      copies the whole ledger into a database that has no session yet\n",
          .epilogue =
              "Examples\n"
              "  dicom-ledger copy ledger.db postgresql://dicom_sender@db.example.org/dicom_sender\n"
              "\n"
              "Exit status\n"
              "  0  copied\n"
              "  2  wrong usage, or a ledger that cannot be used: in use, damaged, or a database that is not empty\n"
              "  3  the database was unreachable or failed; nothing was copied\n"
              "  5  the connection was lost at the end, and the server could not be asked whether all was\n"
              "     copied: run it again; it copies, or says that the database already has the sessions\n",
          .words_max = 3};
}

}  // namespace

tl::expected<LedgerOptions, EarlyExit> ParseLedgerOptions(int argc, const char* const* argv,
                                                          const Environment& environment) {
  const auto given = ParseProgram(Describe(), argc, argv, environment);
  if (!given) return tl::unexpected(given.error());
  const auto& words = given->words;
  if (words.empty()) return UsageError(kProgram, "command missing: 'dicom-ledger --help' lists all");
  if (words[0] != "copy") {
    return UsageError(kProgram,
                      fmt::format("Unknown command '{}': 'dicom-ledger --help' lists all", ToPrintable(words[0])));
  }
  if (words.size() < 3) return UsageError(kProgram, "'copy' needs a FILE and a URI");
  if (const auto input = CheckInput(words[1]); !input) return UsageError(kProgram, input.error());
  if (const auto uri = CheckUri(words[2]); !uri) return UsageError(kProgram, uri.error());
  return LedgerOptions{.file = words[1], .uri = words[2]};
}

}  // namespace dicom_sender
