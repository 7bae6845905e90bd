// A preflight for a person, or as one JSON object for a script. Its lists have every file, however many they are, and
// are streamed.
//
// The fields of the JSON object are in docs/preflight.md.
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
  std::string log_file;  // that names what could not be read; empty: there is none
  bool scan_is_kept = false;
  std::string send_command;  // sends what was found; empty: nothing can be sent
};

// Prints the preflight to a file descriptor, and why the destination could not be asked to `console`. Returns the
// exit status.
int ReportPreflight(const Preflight& preflight, LedgerReader& ledger, PlanFormat format, const ReportContext& context,
                    int out, Console& console);

}  // namespace dicom_sender
