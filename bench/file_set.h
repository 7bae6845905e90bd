// The files that the benchmark sends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dicom_sender {

struct FileSet {
  std::string name;
  int files = 0;    // a multiple of `studies`
  int studies = 0;  // one folder each
  std::uint32_t file_bytes = 0;

  double MebiBytes() const { return static_cast<double>(files) * file_bytes / 1048576; }
};

// The sets small, ct, big, late, giant, and crowd. A `scale` in (0, 1] reduces the number of files, or, for sets with
// few files, their size.
std::vector<FileSet> FileSets(double scale);

// Describes the set in one English phrase.
std::string Describe(const FileSet& set);

// Creates the set's files in `folder`, which must be new. Afterwards they are in the page cache and on disk. Throws
// std::runtime_error.
void MakeFiles(const FileSet& set, const std::filesystem::path& folder);

// Links the first files of each study of `all` from `from` into the new folder `to`, about `files_max` in total.
FileSet LinkSome(const FileSet& all, const std::filesystem::path& from, int files_max,
                 const std::filesystem::path& to);

// Reads all files into the page cache, so that no run measures the disk.
void WarmPageCache(const std::filesystem::path& folder);

}  // namespace dicom_sender
