// Reports a preflight as text, or as one JSON object for scripts. The lists contain every file and are streamed.
//
// docs/preflight.md describes the fields of the JSON object.
#pragma once

#include <string>

#include "cli/console.h"
#include "cli/program_options.h"
#include "coordinator/ledger/ledger_reader.h"
#include "preflight/preflight.h"

namespace dicom_sender {

enum class PlanFormat { kText, kJson };
inline OptionSetter SetPlanFormat(PlanFormat& target) {
  return SetChoice<PlanFormat>(target, {{"text", PlanFormat::kText}, {"json", PlanFormat::kJson}});
}

struct ReportContext {
  std::string log_file;  // names what could not be read; empty: no log file
  bool scan_is_kept = false;
  std::string send_command;  // sends the found instances; empty: nothing can be sent
};

// Writes the report to the file descriptor `out`, and the reason of a failed query to `console`. Returns the exit
// status.
int ReportPreflight(const Preflight& preflight, LedgerReader& ledger, PlanFormat format, const ReportContext& context,
                    int out, Console& console);

}  // namespace dicom_sender
