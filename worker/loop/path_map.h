// Maps the folders that another machine has scanned to folders of this machine. Pure.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace dicom_sender {

struct PathMapping {
  std::string from, to;  // absolute, without a slash at the end (except "/" itself)
};

class PathMap {
 public:
  // Adds "FROM=TO", such as "/data=/mnt/nas". The error says what is wrong with it.
  tl::expected<void, std::string> Add(std::string_view text);
  // Replaces the longest FROM that is the path or a folder above it. Other paths stay unchanged.
  std::string Apply(const std::string& path) const;
  const std::vector<PathMapping>& mappings() const { return mappings_; }

 private:
  std::vector<PathMapping> mappings_;
};

}  // namespace dicom_sender
