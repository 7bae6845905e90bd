#include "preflight/report.h"

#include "cli/exit_status.h"
#include "preflight/report_writers.h"

namespace dicom_sender {

int ReportPreflight(const Preflight& preflight, LedgerReader& ledger, PlanFormat format, const ReportContext& context,
                    int out, Console& console) {
  Output output(out);
  const auto write = format == PlanFormat::kJson ? WriteJson : WriteText;
  write(preflight, ledger, context, output);
  if (const auto written = output.Finish(); !written) {
    console.Error(written.error());
    return kExitCannotWrite;
  }
  if (!preflight.query_failure.empty()) console.Error(preflight.query_failure);
  return ExitStatusOf(preflight);
}

}  // namespace dicom_sender
