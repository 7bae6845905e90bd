#include "programs/ledger/options.h"

#include <gmock/gmock.h>

#include "tests/support/arguments.h"
#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

class LedgerOptionsTest : public testing::Test {
 protected:
  LedgerOptionsTest() { WriteFile(folder_ / "ledger.db", ""); }
  static auto Parse(const std::vector<std::string>& words) { return Arguments(words).Parsed(ParseLedgerOptions); }
  static std::string Refusal(const std::vector<std::string>& words) {
    const auto parsed = Parse(words);
    EXPECT_TRUE(!parsed && parsed.error().exit_status == 2);
    return parsed ? std::string() : parsed.error().err;
  }
  std::string file() const { return folder_ / "ledger.db"; }

 private:
  TemporaryFolder folder_;
};

TEST_F(LedgerOptionsTest, CopyNeedsAFileAndAUri) {
  const auto options = Parse({"copy", file(), "postgresql://u@db.example.org/ledger"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->file, file());
  EXPECT_EQ(options->uri, "postgresql://u@db.example.org/ledger");
}

TEST_F(LedgerOptionsTest, InvalidValuesAreRefused) {
  const std::string uri = "postgresql://u@db.example.org/ledger";
  EXPECT_THAT(Refusal({}), HasSubstr("command missing"));
  EXPECT_THAT(Refusal({"move", file(), uri}), HasSubstr("Unknown command 'move'"));
  EXPECT_THAT(Refusal({"copy", file()}), HasSubstr("'copy' needs a FILE and a URI"));
  EXPECT_THAT(Refusal({"copy", file() + "x", uri}), HasSubstr("ledger.dbx"));
  EXPECT_THAT(Refusal({"copy", file(), file()}), HasSubstr("postgresql://"));
  const std::string told = Refusal({"copy", file(), "postgresql://u:geheim@db.example.org/ledger"});
  EXPECT_THAT(told, HasSubstr("PGPASSWORD"));
  EXPECT_THAT(told, Not(HasSubstr("geheim")));
}

}  // namespace
}  // namespace dicom_sender
