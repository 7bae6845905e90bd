#include "bench/file_set.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "tests/support/example_studies.h"

namespace dicom_sender {
namespace {

constexpr std::uint32_t kKibiByte = 1024, kMebiByte = 1048576;
constexpr std::uint32_t kFileBytesMin = 2048;

FileSet WithFewerFiles(FileSet set, double scale) {
  const double per_study = std::round(scale * set.files / set.studies);
  set.files = set.studies * std::max(1, static_cast<int>(per_study));
  return set;
}

FileSet WithSmallerFiles(FileSet set, double scale) {
  set.file_bytes = std::max(kFileBytesMin, static_cast<std::uint32_t>(scale * set.file_bytes) / 2 * 2);
  return set;
}

}  // namespace

std::vector<FileSet> FileSets(double scale) {
  return {WithFewerFiles({"small", 10'000, 50, 8 * kKibiByte}, scale),
          WithFewerFiles({"ct", 1'000, 10, 512 * kKibiByte}, scale),
          // One study per file: with a single study, all but one thread would be idle.
          WithSmallerFiles({"big", 4, 4, 200 * kMebiByte}, scale),
          WithFewerFiles({"late", 2'000, 80, 8 * kKibiByte}, scale),
          WithSmallerFiles({"giant", 1, 1, 2048 * kMebiByte - kKibiByte}, scale),
          WithFewerFiles({"crowd", 50'000, 1, 4 * kKibiByte}, scale)};
}

std::string Describe(const FileSet& set) {
  const std::string size = set.file_bytes < kMebiByte
                               ? fmt::format("{:.4g} KiB", double{1} * set.file_bytes / kKibiByte)
                               : fmt::format("{:.4g} MiB", double{1} * set.file_bytes / kMebiByte);
  return fmt::format("{} files of {} in {} studies, {:.0f} MiB", set.files, size, set.studies, set.MebiBytes());
}

void MakeFiles(const FileSet& set, const std::filesystem::path& folder) {
  for (int study = 1; study <= set.studies; ++study) {
    for (int image = 1; image <= set.files / set.studies; ++image) {
      WriteExampleFile(folder / ExamplePath(study, image), ExampleOf(study, image), set.file_bytes);
    }
  }
  ::sync();  // otherwise the first runs would compete with the write-back for the disk
}

FileSet LinkSome(const FileSet& all, const std::filesystem::path& from, int files_max,
                 const std::filesystem::path& to) {
  FileSet some = all;
  some.files = std::min(all.files, all.studies * std::max(1, files_max / all.studies));
  for (int study = 1; study <= some.studies; ++study) {
    std::filesystem::create_directories((to / ExamplePath(study, 1)).parent_path());
    for (int image = 1; image <= some.files / some.studies; ++image) {
      std::filesystem::create_hard_link(from / ExamplePath(study, image), to / ExamplePath(study, image));
    }
  }
  return some;
}

void WarmPageCache(const std::filesystem::path& folder) {
  std::string buffer(kMebiByte, '\0');
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()))) {
    }
  }
}

}  // namespace dicom_sender
