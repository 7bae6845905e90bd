// Reads what must be known about a DICOM file before it can be sent, without its pixel data.
//
// The whole structure of the dataset is walked (PS3.5 section 7: elements, sequences, items, encapsulated
// fragments) but values are skipped by their length, so a truncated file is found here at the price of its
// element headers only. A dataset has no end mark: a file that was cut exactly between two elements of the dataset
// looks like a shorter file and is accepted.
//
// Sloppy encodings that DCMTK reads are accepted: no preamble, no meta header, a wrong or missing meta group length,
// odd lengths, unknown VRs, lengths and delimiters mixed, elements in any order, zeros behind the last element,
// elements of group 0002 in the dataset.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "dicom/limits.h"

namespace dicom_sender {

// As long as size and mtime are those of the scan, the header that was read then is still true.
struct FileIdentity {
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;  // since the epoch

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

FileIdentity IdentityOf(const struct stat& status);

// UIDs are at most 64 printable ASCII characters without the padding, and otherwise as they are.
//
// The accession number never makes a file invalid. It has at most kAccessionNumberBytesMax characters, without the
// spaces around them; a question mark stands for each that is not printable ASCII.
//
// The SOP UIDs are never taken from the meta header, because it is not sent. A destination cannot store a dataset
// without them (PS3.3 C.12.1: type 1).
struct FileHeader {
  std::string sop_class_uid;         // (0008,0016) of the dataset; empty if missing
  std::string sop_instance_uid;      // (0008,0018) of the dataset; empty if missing
  std::string study_instance_uid;    // (0020,000D); empty if missing
  std::string accession_number;      // (0008,0050) empty if missing
  std::string transfer_syntax_uid;   // how the dataset is encoded; usually (0002,0010), see below
  std::uint64_t dataset_offset = 0;  // bytes before the first byte of the dataset (deflated datasets: of the stream)
  FileIdentity identity;
};

enum class HeaderProblem {
  kUnreadable,  // open, stat or read failed; `reason` has the operating system's message
  kEmpty,       // zero bytes
  kNotDicom,    // does not begin like a DICOM file or dataset
  kDicomDir,    // a media storage directory, which is not sent
  kTruncated,   // recognized, but ends inside an element, item or fragment, or has no dataset, or changed meanwhile
  kMalformed,   // recognized, but its structure contradicts itself, or a limit was exceeded
};

struct HeaderError {
  HeaderProblem problem = HeaderProblem::kUnreadable;
  std::string reason;  // one sentence for a person, without the path

  // What was read before the problem was found: the identity if stat succeeded, and the UIDs so far. For the report
  // only, the SOP UIDs are those of the meta header if the dataset's were not reached.
  FileHeader known = {};
};

// True for the problems of a file that was recognized as DICOM: it counts as found, and as failed. The others are
// "ignored files".
bool IsBrokenDicom(HeaderProblem problem);

// Reads one regular file. Opens it once; reads at most twice in the common case. Never blocks on pipes or devices:
// anything but a regular file is kNotDicom. Thread-safe; memory is bounded whatever the file says of itself (16 KiB,
// for deflated datasets some 120 KiB). Limits: sequences nested 128 deep, 10 million elements, 4 GiB inflated.
//
// If the meta header names an uncompressed transfer syntax and the first element is evidently encoded in another one,
// `transfer_syntax_uid` is that other one. A contradiction that this cannot resolve (encapsulated pixel data in an
// uncompressed syntax, or the reverse) is kMalformed.
tl::expected<FileHeader, HeaderError> ReadFileHeader(const std::string& path);

}  // namespace dicom_sender
