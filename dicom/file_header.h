// What must be known of a DICOM file before it can be sent, read without its pixel data.
//
// The whole structure of the dataset is walked (PS3.5 section 7: elements, sequences, items, encapsulated
// fragments) but values are skipped by their length, so a truncated file is found here at the price of its
// element headers only.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

namespace dicom_sender {

// Identity of a file: when size and mtime are those of the scan, the header read then is still true.
struct FileIdentity {
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;  // since the epoch

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct FileHeader {
  std::string sop_class_uid;         // (0008,0016) of the dataset; empty if missing
  std::string sop_instance_uid;      // (0008,0018) of the dataset; empty if missing
  std::string study_instance_uid;    // (0020,000D); empty if missing
  std::string transfer_syntax_uid;   // (0002,0010), or what was recognised where there is no meta header
  std::uint64_t dataset_offset = 0;  // bytes before the first byte of the dataset (deflated datasets: of the stream)
  FileIdentity identity;
};

enum class HeaderProblem {
  kUnreadable,  // open, stat or read failed; `reason` has the operating system's word
  kEmpty,       // zero bytes
  kNotDicom,    // nothing that starts like a DICOM file or dataset
  kDicomDir,    // a media storage directory: no instance to send
  kTruncated,   // recognised, but ends inside an element, item or fragment
  kMalformed,   // recognised, but its structure contradicts itself, or a limit was exceeded
};

struct HeaderError {
  HeaderProblem problem = HeaderProblem::kUnreadable;
  std::string reason;  // one sentence for a person, without the path
};

// True for the problems of a file that was recognised as DICOM: it counts as found, and as failed. The others are
// "ignored files".
bool IsBrokenDicom(HeaderProblem problem);

// Reads one regular file. Opens it once; reads at most twice in the common case. Never blocks on pipes or devices:
// what is no regular file is kUnreadable. Thread-safe; memory is bounded whatever the file says of itself.
tl::expected<FileHeader, HeaderError> ReadFileHeader(const std::string& path);

}  // namespace dicom_sender
