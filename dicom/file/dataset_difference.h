// Compares the datasets of two files.
#pragma once

#include <stop_token>
#include <string>

namespace dicom_sender {

// Returns an empty string if both files have the same transfer syntax and the same dataset, byte for byte; their
// preambles and meta headers (PS3.10 7.1) may differ, because they are not sent. Otherwise returns a phrase that says
// what differs, such as "(7FE0,0010) differs", or why the files could not be compared. Reads both files up to the
// first difference through a bounded buffer, unless the headers already differ. Compares deflated datasets without
// inflating them. Thread-safe.
//
// The result is undefined once a stop is requested.
std::string DatasetDifference(const std::string& path, const std::string& other_path,
                              const std::stop_token& stop = {});

}  // namespace dicom_sender
