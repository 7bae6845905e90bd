// Whether two files hold the same dataset.
#pragma once

#include <stop_token>
#include <string>

namespace dicom_sender {

// Empty if both files have the same transfer syntax and the same dataset, byte for byte; their preambles and meta
// headers (PS3.10 7.1) may differ, since those are not sent. Otherwise a phrase that says what differs, such as
// "(7FE0,0010) differs", or why the files could not be compared. Reads both files to the first difference through a
// bounded buffer, unless their headers tell the difference. Deflated datasets are compared as they are on disk.
// Thread-safe.
//
// Once a stop is requested, the result means nothing.
std::string DatasetDifference(const std::string& path, const std::string& other_path,
                              const std::stop_token& stop = {});

}  // namespace dicom_sender
