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

// small, ct, big, late, giant and crowd; `scale` in (0, 1] takes files from those with many, bytes from the others.
std::vector<FileSet> FileSets(double scale);

// The set as one English phrase.
std::string Describe(const FileSet& set);

// Makes the set's files in `folder`, which must be new. They are in the page cache and on the disk afterwards.
// Throws std::runtime_error.
void MakeFiles(const FileSet& set, const std::filesystem::path& folder);

// Links the first files of each study of `all` from `from` into the new folder `to`: about `files_max` of them.
FileSet LinkSome(const FileSet& all, const std::filesystem::path& from, int files_max,
                 const std::filesystem::path& to);

// Reads all of it, so that no run measures the disk.
void WarmPageCache(const std::filesystem::path& folder);

}  // namespace dicom_sender
