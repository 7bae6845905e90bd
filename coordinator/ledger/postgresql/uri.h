// Splits libpq's lists of hosts, for connecting and for display.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dicom_sender {

struct PostgresqlHost {
  std::string host, hostaddr, port;  // empty: libpq's default
};

// Splits libpq's comma-separated lists. `port` may have one value for all hosts. Does not split lists that do not
// match, so that libpq reports the error. The result is never empty.
std::vector<PostgresqlHost> SplitHosts(const std::string& host, const std::string& hostaddr, const std::string& port);

}  // namespace dicom_sender
