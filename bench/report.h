// What the benchmarks print: Markdown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/destination.h"
#include "bench/file_set.h"

namespace dicom_sender {

// One run of one sender. Times of a run with a part of the files are those that all of them would have taken.
struct Measurement {
  double wall_seconds = 0;
  double cpu_seconds = 0;  // user and system, of the sender alone
  double peak_rss_mebibytes = 0;
  std::optional<double> destination_cpu_seconds;
  double busy_seconds = 0;           // of all processors, all processes
  std::optional<double> idle_share;  // of dicom-sender's threads, see IdleShare
};

// How long the processors have been busy since the machine was started, summed over all of them.
double BusySeconds();

struct SenderResult {
  std::string name;
  std::vector<Measurement> rounds;
};

// The median of each round's value divided by the reference's of the same round.
double MedianRatio(const std::vector<Measurement>& rounds, const std::vector<Measurement>& reference,
                   double Measurement::*value);

// The part of the machine, 0 to 1, that processes used which had no part in the run; nullopt where the
// destination's is unknown. Coarse: the kernel counts in ticks of 10 ms.
std::optional<double> OthersShare(const Measurement& run);

// Command, date, machine: "`...`, 2024-09-10: 2 cores, ..."
std::string RenderMachine(const std::string& command);
// The same, and the versions.
std::string RenderHeader(const std::string& command, const std::vector<std::string>& versions);

// A table of medians. `reference` is the index of the sender that the others' wall times are compared with.
std::string RenderTable(const FileSet& set, DestinationKind destination, const std::vector<SenderResult>& results,
                        std::size_t reference);

}  // namespace dicom_sender
