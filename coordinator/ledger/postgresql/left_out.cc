// Replaces all other files of this folder in a build without PostgreSQL.
#include "coordinator/ledger/postgresql/postgresql_ledger.h"

namespace dicom_sender {
namespace {

constexpr const char* kLeftOut =
    "this program was built without PostgreSQL (DICOM_SENDER_POSTGRESQL=OFF); name a file, or use another build";

}  // namespace

tl::expected<std::unique_ptr<Leadership>, LedgerTrouble> OpenLeadership(const PostgresqlOptions&) {
  return tl::unexpected(LedgerTrouble{.sentence = kLeftOut});
}
tl::expected<std::unique_ptr<Ledger>, LedgerTrouble> OpenPostgresqlLedger(const PostgresqlOptions&, std::uint64_t) {
  return tl::unexpected(LedgerTrouble{.sentence = kLeftOut});
}

tl::expected<void, std::string> CheckUri(const std::string&) { return tl::unexpected(std::string(kLeftOut)); }
std::string RedactedUri(const std::string&) { return "postgresql://..."; }

}  // namespace dicom_sender
