// The result of a dry run: the plan of a session whose scan is complete, the answer of the destination, and what
// would not arrive.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "cli/console.h"
#include "cli/render.h"
#include "coordinator/ledger/ledger_reader.h"
#include "preflight/query.h"

namespace dicom_sender {

struct Preflight {
  SessionRecord session;
  std::vector<StudyLine> first_studies;
  std::vector<PairCount> pairs;  // of the instances to send
  StudyKinds studies;
  bool asked = false;         // the destination answered; false if none was given or query_failure is set
  std::string query_failure;  // why the destination could not be queried; one sentence that names it
  bool query_cancelled = false;
  std::uint64_t query_associations = 0;
  std::vector<PairOutcome> outcomes;  // if asked
};

// Queries the destination if the session has one and has instances to send. The session must not change meanwhile.
// Throws LedgerError.
Preflight MakePreflight(LedgerReader& ledger, SessionRecord session, const Associate& associate);
// Queries over TCP. A stop request cancels the query.
Preflight MakePreflight(LedgerReader& ledger, SessionRecord session, std::stop_token stop);

// The numbers of instances, and of unreadable files and folders, that would not arrive.
struct Shortfall {
  std::uint64_t refused = 0;
  std::uint64_t unknown = 0;  // the destination gave no answer about them
  std::uint64_t defective = 0;
  std::uint64_t conflicts = 0;
  std::uint64_t not_read = 0;

  std::uint64_t total() const { return refused + unknown + defective + conflicts + not_read; }
};
Shortfall ShortfallOf(const Preflight& preflight);
std::uint64_t InstancesWith(const Preflight& preflight, Fate fate);

int ExitStatusOf(const Preflight& preflight);

}  // namespace dicom_sender
