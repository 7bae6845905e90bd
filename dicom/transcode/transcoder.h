// Decodes a DICOM file's dataset for a destination that refused the file's own transfer syntax.
//
// Changes only what decoding affects. The SOP Instance UID stays, because a change of the transfer syntax does not
// create a new instance (PS3.4 B.4.1.3). Lossy Image Compression is set after a lossy process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/unique_fd.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {

struct TranscodeOptions {
  // The result is an unnamed file in this folder. It must be on a disk: a file on a tmpfs or a memfd uses the memory
  // of this process's cgroup, and a decoded multi-frame image may be too large for that.
  std::string temporary_directory = "/var/tmp";
  std::uint64_t frame_bytes_max = 512ULL << 20;  // one frame, decoded or compressed
  std::uint64_t output_bytes_max = 16ULL << 30;  // the whole result; also an inflated dataset
};

struct TranscodedDataset {
  UniqueFd fd;                   // positioned at the first byte; the only descriptor of the file
  std::uint64_t size_bytes = 0;  // of the encoded dataset, without preamble and meta header
};

// Encodes the dataset of the file at `path`, whose transfer syntax must be decodable (dicom/transfer_syntax.h), in
// `target_syntax`: Implicit VR Little Endian, Explicit VR Little Endian, or Explicit VR Big Endian. Refuses every
// other target. The error is one readable sentence, without the path and without values of the dataset.
//
// DCMTK guesses the encoding of a file without a meta header. It is an error if a frame contradicts the dataset (its
// size, its number of components), if a stream is damaged, or if fragments cannot be assigned to frames: nothing is
// guessed or returned in part. Damage that a decoder cannot detect (JPEG has no checksums) stays undetected.
//
// ReadFileHeader must have walked the file before: DCMTK recurses into sequences without a limit, and a dataset that
// nests many thousands deep overflows its stack.
//
// Memory: frames are decoded one after the other. At any time, memory holds at most one frame, twice compressed and
// twice decoded (with OpenJPEG, also twice with 4 bytes per sample), the values up to 4 KiB of the other elements,
// and about 300 bytes for each element and each fragment of the file. Longer values are copied from file to file in
// blocks. Disk: the size of the result, or twice that if it has long values of odd length; for deflated sources, also
// the inflated dataset until the call returns.
//
// Thread-safe. The first call loads DCMTK's codecs and turns off DCMTK's own log, because its messages quote values.
tl::expected<TranscodedDataset, std::string> Transcode(const std::string& path, std::string_view target_syntax,
                                                       const TranscodeOptions& options = {});

}  // namespace dicom_sender
