// The contract of a ledger, held by the one in PostgreSQL; what only a server can do is in postgresql_faults_test.cc.
#include "coordinator/ledger/postgresql/postgresql_ledger.h"

#include <gmock/gmock.h>

#include "tests/support/postgresql_server.h"
#include "tests/unit/ledger/ledger_contract.h"

namespace dicom_sender {
namespace {

constexpr Duration kLeaderTimeout = std::chrono::seconds(30);

// A database of its own; whoever opens the ledger becomes its leader.
class PostgresqlStore : public LedgerStore {
 public:
  PostgresqlStore()
      : options_{.uri = PostgresqlServer::Shared().Uri(PostgresqlServer::Shared().CreateDatabase()),
                 .leader_timeout = kLeaderTimeout} {}

  std::unique_ptr<Ledger> Open() override {
    auto leadership = OpenLeadership(options_);
    if (!leadership) throw std::runtime_error(leadership.error().sentence);
    const auto taken = (*leadership)->Take((*leadership)->Look(), "test");
    if (!taken) throw std::runtime_error("another one leads");
    auto ledger = OpenPostgresqlLedger(options_, taken->epoch);
    if (!ledger) throw std::runtime_error(ledger.error().sentence);
    return *std::move(ledger);
  }

 private:
  const PostgresqlOptions options_;
};

std::vector<MakeLedgerStore> Stores() {
  if (!PostgresqlServer::Available()) return {};
  return {[] { return std::make_unique<PostgresqlStore>(); }};
}

INSTANTIATE_TEST_SUITE_P(Postgresql, LedgerContract, testing::ValuesIn(Stores()));
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LedgerContract);

TEST(PostgresqlLedgerTest, TheContractIsTested) {
  if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
}

TEST(PostgresqlTextTest, AnyBytesComeBackAsTheyWere) {
  using std::string_literals::operator""s;
  for (const std::string& bytes : {""s, "1.2.840"s, "Grüße"s, "a\\b"s, "a\0b"s, "\\x41"s, "\\"s, "\xE4\xFF"s,
                                   "\xEF\xBF\xBD"s, "\xC3"s, "\xF0\x9F\x98\x80"s, "\xF0\x9F\x98"s, "\\x00\0\\"s}) {
    const std::string text = EncodedText(bytes);
    EXPECT_EQ(DecodedText(text), bytes) << text;
    EXPECT_EQ(text.find('\0'), std::string::npos);
  }
  EXPECT_EQ(EncodedText("Grüße"), "Grüße");
  EXPECT_EQ(EncodedText("a\0\xE4\\"s), "a\\x00\\xE4\\\\");
  EXPECT_EQ(DecodedText("by hand \\xZZ \\"), "by hand \\ZZ \\") << "nothing is thrown";
}

}  // namespace
}  // namespace dicom_sender
