// What a dry run tells: the plan of a session whose scan is complete, what its destination says to it, and what would
// not arrive.
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
  std::vector<PairCount> pairs;  // of what is to be sent
  StudyKinds studies;
  bool asked = false;         // the destination has answered; otherwise none was given, or see query_failure
  std::string query_failure;  // why the destination could not be asked: one sentence with its name
  bool query_cancelled = false;
  std::uint64_t query_associations = 0;
  std::vector<PairOutcome> outcomes;  // if asked
};

// Queries the destination, if the session has one and there is something to send. For a session that is not being
// changed meanwhile. Throws LedgerError.
Preflight MakePreflight(LedgerReader& ledger, SessionRecord session, const Associate& associate);
// Over TCP, until a stop is requested.
Preflight MakePreflight(LedgerReader& ledger, SessionRecord session, std::stop_token stop);

// Instances, and files or folders that could not be read, that would not arrive.
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
