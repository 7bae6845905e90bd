// Reads the header of every file below the inputs with several threads, and delivers the results in the order of the
// walk (folder_walk.h). Memory is bounded: at most kScanWindowFiles files are read ahead of the consumer.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "dicom/file/file_header.h"
#include "indexer/folder_walk.h"

namespace dicom_sender {

inline constexpr std::size_t kScanWindowFiles = 4096;

using HeaderResult = tl::expected<FileHeader, HeaderError>;

// Scan() makes these calls in its own thread, one at a time.
class ScanConsumer {
 public:
  virtual ~ScanConsumer() = default;
  // `entry` is of kind kFile.
  virtual void OnFile(const WalkEntry& entry, const HeaderResult& header) = 0;
  virtual void OnFolderProblem(const WalkEntry& entry) = 0;
  virtual void OnFolderEnd() = 0;  // all files of a folder have been delivered
};

// Returns when everything has been delivered, or soon after a stop was requested. An exception of the consumer ends
// the scan and is rethrown.
void Scan(const std::vector<ScanRoot>& roots, bool recursive, unsigned threads, ScanConsumer& consumer,
          std::stop_token stop);

}  // namespace dicom_sender
