// Where this machine sees the folders that another one has scanned. Pure.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace dicom_sender {

struct PathMapping {
  std::string from, to;  // absolute, without a slash at the end (but "/" alone)
};

class PathMap {
 public:
  // Adds "FROM=TO", e.g. "/data=/mnt/nas". The error says what is wrong with it.
  tl::expected<void, std::string> Add(std::string_view text);
  // Replaces the longest FROM that is the path or a folder above it; other paths stay as they are.
  std::string Apply(const std::string& path) const;
  const std::vector<PathMapping>& mappings() const { return mappings_; }

 private:
  std::vector<PathMapping> mappings_;
};

}  // namespace dicom_sender
