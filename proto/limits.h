// The limits of messages and their content. A receiver refuses a message that exceeds one (proto/validate.h), and a
// sender never sends such a message. The limits of identifiers and addresses are in dicom/limits.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dicom/limits.h"

namespace dicom_sender {

inline constexpr unsigned kProtocolVersion = 2;
inline constexpr std::size_t kMessageBytesMax = 4 << 20;

inline constexpr int kInputsMax = 10000;         // in an OpenSession
inline constexpr int kBatchInstancesMax = 5000;  // in a PublishBatch of at most kMessageBytesMax / 2 bytes
inline constexpr int kUnreadPathsMax = 500;      // in a PublishBatch
inline constexpr int kIgnoredReasonsMax = 100;   // in a ScanComplete
inline constexpr int kListedCopiesMax = 256;     // in a CopyList, and in a RecordComparisons
inline constexpr int kPageInstancesMax = 256;    // in a Page
inline constexpr int kReportOutcomesMax = 256;   // in a Report
inline constexpr int kContextPairsMax = 4096;    // in a LeaseGrant
inline constexpr int kHeldLeasesMax = 1024;      // in a WorkerStatus

inline constexpr std::size_t kPathBytesMax = 4096;
inline constexpr std::size_t kReasonBytesMax = 512;  // longer reasons are truncated
inline constexpr std::size_t kSessionBytesMax = 64;
inline constexpr std::size_t kIndexerNameBytesMax = 64 << 10;
inline constexpr std::size_t kWorkerNameBytesMax = 255;

// The total size of the files of a batch or a session, limited so that sums do not overflow.
inline constexpr std::uint64_t kTotalBytesMax = std::uint64_t{1} << 62;
inline constexpr std::uint64_t kIgnoredFilesMax = std::uint64_t{1} << 40;  // for one reason

}  // namespace dicom_sender
