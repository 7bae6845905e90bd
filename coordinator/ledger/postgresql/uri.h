// The hosts of an address of libpq, for who connects to them and for who shows them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dicom_sender {

struct PostgresqlHost {
  std::string host, hostaddr, port;  // empty: as libpq has it
};

// Of libpq's comma-separated lists, of which the last may have one for all. What is not such a list is left whole,
// for libpq to say what is wrong with it. Never empty.
std::vector<PostgresqlHost> SplitHosts(const std::string& host, const std::string& hostaddr, const std::string& port);

}  // namespace dicom_sender
