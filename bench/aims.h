// Compares the results with the project's performance goals: one table row per goal.
#pragma once

#include <string>
#include <vector>

#include "bench/report.h"

namespace dicom_sender {

// Returns Markdown, or an empty string if this file set has no goals. Rows for a sender that was not measured say so.
std::string RenderAims(const FileSet& set, DestinationKind destination, const std::vector<SenderResult>& results);

}  // namespace dicom_sender
