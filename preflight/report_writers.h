// The two formats of the report.
#pragma once

#include "preflight/output.h"
#include "preflight/report.h"

namespace dicom_sender {

void WriteText(const Preflight& preflight, LedgerReader& ledger, const ReportContext& context, Output& out);
void WriteJson(const Preflight& preflight, LedgerReader& ledger, const ReportContext& context, Output& out);

}  // namespace dicom_sender
