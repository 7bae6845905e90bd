#include "worker/loop/path_map.h"

#include <fmt/format.h>

#include <optional>

#include "common/text.h"

namespace dicom_sender {
namespace {

std::string WithoutEndSlashes(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

// The rest of the path after the folder; nullopt if the path is not below it.
std::optional<std::string_view> Below(std::string_view path, std::string_view folder) {
  if (folder == "/") return path;
  if (!path.starts_with(folder)) return std::nullopt;
  path.remove_prefix(folder.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

}  // namespace

tl::expected<void, std::string> PathMap::Add(std::string_view text) {
  const auto equals = text.find('=');
  const std::string_view from = text.substr(0, equals);
  const std::string_view to = equals == std::string_view::npos ? std::string_view() : text.substr(equals + 1);
  if (!from.starts_with('/') || !to.starts_with('/')) {
    return tl::unexpected(
        fmt::format("'{}' is not a pair of absolute paths: give FROM=TO, such as /data=/mnt/nas", ToPrintable(text)));
  }
  mappings_.push_back({WithoutEndSlashes(from), WithoutEndSlashes(to)});
  return {};
}

std::string PathMap::Apply(const std::string& path) const {
  const PathMapping* best = nullptr;
  for (const PathMapping& mapping : mappings_) {
    if (best && mapping.from.size() <= best->from.size()) continue;
    if (Below(path, mapping.from)) best = &mapping;
  }
  if (!best) return path;
  const std::string_view rest = *Below(path, best->from);
  if (rest.empty()) return best->to;
  return best->to == "/" ? std::string(rest) : best->to + std::string(rest);
}

}  // namespace dicom_sender
