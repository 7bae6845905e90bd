#include "coordinator/service/endpoint_names.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using Addresses = std::optional<std::vector<std::string>>;

class EndpointNamesTest : public testing::Test {
 protected:
  std::string Name(const std::string& host, TimePoint now = {}) { return names_.Name(host, 104, now); }

  std::map<std::string, Addresses> hosts_;
  int asked_ = 0;
  EndpointNames names_{[this](const std::string& host) {
    ++asked_;
    return hosts_[host];
  }};
};

TEST_F(EndpointNamesTest, AnArchiveHasOneNameRegardlessOfSpelling) {
  hosts_["pacs"] = Addresses({"192.0.2.9", "192.0.2.7"});
  hosts_["pacs.example.org"] = Addresses({"192.0.2.7", "192.0.2.9", "2001:db8::1"});
  hosts_["192.0.2.7"] = Addresses({"192.0.2.7"});
  for (const char* host : {"pacs", "pacs.example.org", "192.0.2.7"}) EXPECT_EQ(Name(host), "192.0.2.7:104") << host;
}

TEST_F(EndpointNamesTest, AllNamesOfThisMachineAreOneEndpoint) {
  hosts_["localhost"] = Addresses({"::1", "127.0.0.1"});
  hosts_["::1"] = Addresses({"::1"});
  hosts_["::ffff:127.0.0.1"] = Addresses({"::ffff:127.0.0.1"});
  for (const char* host : {"localhost", "::1", "::ffff:127.0.0.1"}) EXPECT_EQ(Name(host), "127.0.0.1:104") << host;
}

TEST_F(EndpointNamesTest, WithoutIpv4TheLowestIpv6Counts) {
  hosts_["six"] = Addresses({"2001:db8::2", "2001:db8::1"});
  EXPECT_EQ(Name("six"), "[2001:db8::1]:104");
}

TEST_F(EndpointNamesTest, AnUnresolvedHostIsItsOwnName) { EXPECT_EQ(Name("Nowhere.Example"), "nowhere.example:104"); }

TEST_F(EndpointNamesTest, ResolvedNamesAreCached) {
  hosts_["pacs"] = Addresses({"192.0.2.7"});
  const TimePoint begin(std::chrono::hours(1));
  Name("pacs", begin);
  Name("pacs", begin + std::chrono::minutes(4));
  EXPECT_EQ(asked_, 1);
  hosts_["pacs"] = Addresses({"192.0.2.8"});
  EXPECT_EQ(Name("pacs", begin + std::chrono::minutes(6)), "192.0.2.8:104");
  Name("nowhere", begin);
  Name("nowhere", begin + std::chrono::seconds(30));
  EXPECT_EQ(asked_, 3) << "what was not found, too, because a resolver may take long";
}

TEST(LookUpHost, ReadsNumbersAndNames) {
  EXPECT_EQ(LookUpHost("127.0.0.1"), Addresses({"127.0.0.1"}));
  EXPECT_TRUE(LookUpHost("localhost"));
  EXPECT_FALSE(LookUpHost("no-such-host.invalid"));
}

}  // namespace
}  // namespace dicom_sender
