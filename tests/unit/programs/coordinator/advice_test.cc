// The startup errors of dicom-coordinator name its own options and not those of other programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <zmq.hpp>

#include "programs/coordinator/program.h"
#include "tests/support/temporary_folder.h"
#include "transport/channel.h"
#include "transport/security.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class CoordinatorAdviceTest : public testing::Test {
 protected:
  CoordinatorAdviceTest() {
    options_.ledger = folder_ / "ledger.db";
    options_.output_dir = folder_.path();
    options_.bind = "tcp://127.0.0.1:*";
  }
  // Returns the error of a coordinator that cannot start.
  std::string Refusal() const {
    std::stop_source stopped;
    stopped.request_stop();
    const auto done = RunCoordinator(options_, stopped.get_token());
    if (done) {
      ADD_FAILURE() << "it starts";
      return {};
    }
    ExpectOwnOptions(done.error());
    return done.error();
  }
  static void ExpectOwnOptions(const std::string& text) {
    const char* program = "dicom-coordinator";
    const std::array<const char*, 2> help = {program, "--help"};
    const auto shown = ParseCoordinatorOptions(help.size(), help.data());
    ASSERT_FALSE(shown);
    const std::regex option("--[a-z-]+");
    for (std::sregex_iterator it(text.begin(), text.end(), option), end; it != end; ++it) {
      EXPECT_THAT(shown.error().out, HasSubstr(it->str())) << text;
    }
  }

  TemporaryFolder folder_;
  CoordinatorOptions options_;
};

TEST_F(CoordinatorAdviceTest, ForAnUnusableLedger) {
  options_.ledger = folder_.path();
  EXPECT_THAT(Refusal(), StartsWith("--ledger: ledger '" + options_.ledger + "'"));
  options_.ledger = folder_ / "note.txt";
  std::ofstream(options_.ledger) << std::string(5000, 'x');
  EXPECT_THAT(Refusal(), StartsWith("--ledger: ledger '" + options_.ledger + "'"));
}

TEST_F(CoordinatorAdviceTest, ForAPortInUse) {
  zmq::context_t context;
  const RouterChannel taken(context, "tcp://127.0.0.1:*");
  options_.bind = taken.endpoint();
  EXPECT_THAT(Refusal(), StartsWith("--bind: cannot listen on '" + options_.bind + "'"));
}

TEST_F(CoordinatorAdviceTest, ForUnreadableKeys) {
  options_.server_key = folder_ / "none.key_secret";
  options_.client_keys = folder_.path();
  EXPECT_THAT(Refusal(), StartsWith("--server-key, --client-keys: "));
}

TEST_F(CoordinatorAdviceTest, ForAnUnusableMetricsAddress) {
  options_.service.metrics = "192.0.2.1:9";
  EXPECT_THAT(Refusal(), HasSubstr("give --metrics a free port"));
}

}  // namespace
}  // namespace dicom_sender
