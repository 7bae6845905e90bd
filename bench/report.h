// Formats the benchmarks' results as Markdown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/destination.h"
#include "bench/file_set.h"

namespace dicom_sender {

// One run of one sender. If a run sends only a part of the files, its times are extrapolated to all of them.
struct Measurement {
  double wall_seconds = 0;
  double cpu_seconds = 0;  // user and system time of the sender alone
  double peak_rss_mebibytes = 0;
  std::optional<double> destination_cpu_seconds;
  double busy_seconds = 0;           // over all processors and all processes
  std::optional<double> idle_share;  // of dicom-sender's threads; see IdleShare
};

// Returns the busy time of all processors since the machine was started.
double BusySeconds();

struct SenderResult {
  std::string name;
  std::vector<Measurement> rounds;
};

// Returns the median of the per-round ratios of a value to the reference's value.
double MedianRatio(const std::vector<Measurement>& rounds, const std::vector<Measurement>& reference,
                   double Measurement::*value);

// Returns the share of the machine (0 to 1) that processes outside the run used; nullopt if the destination's share
// is unknown. The resolution is coarse because the kernel counts in ticks of 10 ms.
std::optional<double> OthersShare(const Measurement& run);

// Command, date, and machine: "`...`, 2024-09-10: 2 cores, ..."
std::string RenderMachine(const std::string& command);
// The same, followed by the versions.
std::string RenderHeader(const std::string& command, const std::vector<std::string>& versions);

// A table of medians. `reference` is the index of the sender with which the wall times of the others are compared.
std::string RenderTable(const FileSet& set, DestinationKind destination, const std::vector<SenderResult>& results,
                        std::size_t reference);

}  // namespace dicom_sender
