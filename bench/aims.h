// What the benchmark is to show: one line of a table for each aim that has its rows.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"

namespace dicom_sender {

// Markdown, empty if there is no aim for this set. Aims against a sender that was not measured are told as such.
std::string RenderAims(const FileSet& set, DestinationKind destination, const std::vector<SenderResult>& results);

}  // namespace dicom_sender
