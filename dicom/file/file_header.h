// Reads what a sender needs to know about a DICOM file, without its pixel data.
//
// Walks the whole structure of the dataset (PS3.5 section 7: elements, sequences, items, encapsulated fragments) but
// skips values by their length. So it detects a truncated file at the cost of reading its element headers only. A
// dataset has no end mark: a file that was cut exactly between two elements looks like a shorter file and is
// accepted.
//
// Accepts nonconforming encodings that DCMTK reads: no preamble, no meta header, a wrong or missing meta group
// length, odd lengths, unknown VRs, a mix of lengths and delimiters, elements in any order, zeros after the last
// element, and elements of group 0002 in the dataset.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "dicom/limits.h"

namespace dicom_sender {

// As long as size and mtime are unchanged since the scan, the header from the scan is still valid.
struct FileIdentity {
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;  // since the epoch

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

FileIdentity IdentityOf(const struct stat& status);

// UIDs have at most 64 printable ASCII characters, without padding, and are not checked otherwise.
//
// The accession number never makes a file invalid. It has at most kAccessionNumberBytesMax characters, without
// surrounding spaces; a question mark replaces each character that is not printable ASCII.
//
// The SOP UIDs never come from the meta header, because it is not sent. A destination cannot store a dataset without
// them (PS3.3 C.12.1: type 1).
struct FileHeader {
  std::string sop_class_uid;         // (0008,0016) of the dataset; empty if missing
  std::string sop_instance_uid;      // (0008,0018) of the dataset; empty if missing
  std::string study_instance_uid;    // (0020,000D); empty if missing
  std::string accession_number;      // (0008,0050) empty if missing
  std::string transfer_syntax_uid;   // how the dataset is encoded; usually (0002,0010), see below
  std::uint64_t dataset_offset = 0;  // of the first byte of the dataset, or of the deflate stream
  FileIdentity identity;
};

enum class HeaderProblem {
  kUnreadable,  // open, stat, or read failed; `reason` has the operating system's message
  kEmpty,       // zero bytes
  kNotDicom,    // does not begin like a DICOM file or dataset
  kDicomDir,    // a media storage directory, which is not sent
  kTruncated,   // recognized, but ends inside an element, item, or fragment, or has no dataset, or changed meanwhile
  kMalformed,   // recognized, but its structure contradicts itself, or a limit was exceeded
};

struct HeaderError {
  HeaderProblem problem = HeaderProblem::kUnreadable;
  std::string reason;  // one readable sentence, without the path

  // What was read before the problem: the identity if stat succeeded, and the UIDs so far. For the report only, the
  // SOP UIDs are those of the meta header if the walk did not reach those of the dataset.
  FileHeader known = {};
};

// True if the file was recognized as DICOM, so that it counts as found and as failed. Otherwise it is an ignored
// file.
bool IsBrokenDicom(HeaderProblem problem);

// Reads one regular file. Opens it once, and usually needs at most two reads. Never blocks on pipes or devices:
// anything but a regular file is kNotDicom. Thread-safe. Memory is bounded for any content (16 KiB, or about 120 KiB
// for deflated datasets). Limits: sequences nested 128 deep, 10 million elements, 4 GiB inflated.
//
// If the meta header names an uncompressed transfer syntax and the first element is evidently encoded in another one,
// `transfer_syntax_uid` is that other one. A contradiction that this cannot resolve (encapsulated pixel data in an
// uncompressed syntax, or the reverse) is kMalformed.
tl::expected<FileHeader, HeaderError> ReadFileHeader(const std::string& path);

}  // namespace dicom_sender
