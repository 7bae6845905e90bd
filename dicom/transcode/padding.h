// Copies a dataset that has values of odd length to a file and gives them even lengths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "dicom/transcode/transcoder.h"

namespace dicom_sender {

// Copies the dataset of `dataset_bytes` at `dataset_offset` of `fd`, which is the rest of the file, in its own
// transfer syntax. Makes only the changes that dicom/file/even_lengths.h describes. The error is one sentence that
// names the element, without the path.
//
// Memory: that of PlanEvenLengths, plus two blocks of 256 KiB. Disk: the size of the result. Thread-safe.
tl::expected<TranscodedDataset, std::string> PadToEvenLengths(int fd, std::uint64_t dataset_offset,
                                                              std::uint64_t dataset_bytes,
                                                              std::string_view transfer_syntax_uid,
                                                              const TranscodeOptions& options = {});

}  // namespace dicom_sender
