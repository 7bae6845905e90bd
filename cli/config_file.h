// Reads a --config file: TOML with options by their long names, without tables. It does not depend on the options.
#pragma once

#include <cstddef>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace dicom_sender {

struct ConfigEntry {
  std::string name;
  std::size_t line = 0;
  std::vector<std::string> values;  // of an array, one per element; spelled as on the command line
};

// Returns the entries in the order of their lines. The error names the file, and the line if it is known.
tl::expected<std::vector<ConfigEntry>, std::string> ReadConfigFile(const std::string& file);

}  // namespace dicom_sender
