// The limits of single messages and of what they contain. A receiver refuses a message that exceeds one
// (proto/validate.h); a sender never sends one. The limits of identifiers and addresses are those of dicom/limits.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dicom/limits.h"

namespace dicom_sender {

inline constexpr unsigned kProtocolVersion = 2;
inline constexpr std::size_t kMessageBytesMax = 4 << 20;

inline constexpr int kInputsMax = 10000;         // of an OpenSession
inline constexpr int kBatchInstancesMax = 5000;  // of a PublishBatch; also kMessageBytesMax / 2 bytes
inline constexpr int kUnreadPathsMax = 500;      // of a PublishBatch
inline constexpr int kIgnoredReasonsMax = 100;   // of a ScanComplete
inline constexpr int kListedCopiesMax = 256;     // of a CopyList, and comparisons
inline constexpr int kPageInstancesMax = 256;    // of a Page
inline constexpr int kReportOutcomesMax = 256;   // of a Report
inline constexpr int kContextPairsMax = 4096;    // of a LeaseGrant
inline constexpr int kHeldLeasesMax = 1024;      // of a WorkerStatus

inline constexpr std::size_t kPathBytesMax = 4096;
inline constexpr std::size_t kReasonBytesMax = 512;  // longer reasons are cut
inline constexpr std::size_t kSessionBytesMax = 64;
inline constexpr std::size_t kIndexerNameBytesMax = 64 << 10;
inline constexpr std::size_t kWorkerNameBytesMax = 255;

// Of the files of a batch or a session, so that their sizes can be added up.
inline constexpr std::uint64_t kTotalBytesMax = std::uint64_t{1} << 62;
inline constexpr std::uint64_t kIgnoredFilesMax = std::uint64_t{1} << 40;  // for one reason

}  // namespace dicom_sender
