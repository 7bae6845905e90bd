// Decodes a DICOM file's dataset for a destination that refused the file's own transfer syntax.
//
// Only what decoding changes is changed. The SOP Instance UID stays, because a change of the transfer syntax does not
// make a new instance (PS3.4 B.4.1.3). Lossy Image Compression is set after a lossy process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/unique_fd.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {

struct TranscodeOptions {
  // Where the result is written, as a file without a name. It must be on a disk: a file on a tmpfs or a memfd uses
  // the memory of this process's cgroup, and a decoded multi-frame image may be too large for that.
  std::string temporary_directory = "/var/tmp";
  std::uint64_t frame_bytes_max = 512ULL << 20;  // one frame, decoded or compressed
  std::uint64_t output_bytes_max = 16ULL << 30;  // the whole result; a deflated dataset, inflated, too
};

struct TranscodedDataset {
  UniqueFd fd;                   // positioned at the first byte; nothing else has the file open
  std::uint64_t size_bytes = 0;  // of the encoded dataset, without preamble and meta header
};

// Encodes the dataset of the file at `path`, whose transfer syntax must be decodable (dicom/transfer_syntax.h), in
// `target_syntax`: Implicit VR Little Endian, Explicit VR Little Endian or Explicit VR Big Endian. Every other target
// is refused. The error is one sentence for a person, without the path
// and without a value of the dataset.
//
// DCMTK guesses the encoding of a file without a meta header. It is an error if a frame contradicts the dataset (its
// size, its number of components), if a stream is damaged, or if fragments cannot be assigned to frames: nothing is
// guessed or returned in part. Damage that a decoder cannot detect (JPEG has no checksums) stays undetected.
//
// The structure of the file must have been walked before, by ReadFileHeader: DCMTK recurses into sequences without a
// limit, and a dataset that nests many thousands deep overflows its stack.
//
// Memory: frames are decoded one after the other. At most one frame, compressed twice and decoded twice (OpenJPEG:
// 4 bytes a sample twice besides), the values up to 4 KiB of the other elements, and some 300 bytes for each element
// and each fragment of the file. Longer values are copied from file to file in blocks.
// Disk: the size of the result, twice if it has long values of odd length; for deflated sources the inflated dataset
// besides, until the call returns.
//
// Thread-safe. The first call loads DCMTK's codecs and turns DCMTK's own log off: its messages quote values.
tl::expected<TranscodedDataset, std::string> Transcode(const std::string& path, std::string_view target_syntax,
                                                       const TranscodeOptions& options = {});

}  // namespace dicom_sender
