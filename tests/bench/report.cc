#include "tests/bench/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

namespace dicom_sender {
namespace {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

template <typename Value>
double MedianOf(const std::vector<Measurement>& rounds, Value value) {
  std::vector<double> values;
  for (const Measurement& round : rounds) values.push_back(value(round));
  return Median(std::move(values));
}

double MedianRatio(const std::vector<Measurement>& rounds, const std::vector<Measurement>& reference) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < rounds.size(); ++i)
    ratios.push_back(rounds[i].wall_seconds / reference[i].wall_seconds);
  return Median(std::move(ratios));
}

// Each run counts alike, long or short.
std::optional<double> MeanOthersShare(const std::vector<SenderResult>& results) {
  double sum = 0;
  std::size_t runs = 0;
  for (const SenderResult& result : results) {
    for (const Measurement& round : result.rounds) {
      const auto share = OthersShare(round);
      if (!share) return std::nullopt;
      sum += *share;
      ++runs;
    }
  }
  return sum / static_cast<double>(runs);
}

std::string RatioText(double ratio) {
  return ratio < 0.1 ? fmt::format("{:.2g}", ratio) : fmt::format("{:.2f}", ratio);
}

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  }
  return "unknown processor";
}

std::string Kernel() {
  utsname names{};
  ::uname(&names);
  return fmt::format("{} {}", names.sysname, names.release);
}

}  // namespace

// proc(5): the first line of /proc/stat, in ticks.
double BusySeconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
  file >> name >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
  return (user + nice + system + irq + softirq) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::optional<double> OthersShare(const Measurement& run) {
  if (!run.destination_cpu_seconds) return std::nullopt;
  const double others = run.busy_seconds - run.cpu_seconds - *run.destination_cpu_seconds;
  return std::clamp(others / (run.wall_seconds * std::thread::hardware_concurrency()), 0.0, 1.0);
}

std::string RenderMachine(const std::string& command) {
  return fmt::format("`{}`, {:%Y-%m-%d}: {} cores, {}, {}", command, fmt::gmtime(std::time(nullptr)),
                     std::thread::hardware_concurrency(), CpuModel(), Kernel());
}

std::string RenderHeader(const std::string& command, const std::vector<std::string>& versions) {
  return fmt::format("{}; {}. Medians; \"relative\" is the wall time, tuned dcmsend = 1.\n", RenderMachine(command),
                     fmt::join(versions, ", "));
}

std::string RenderTable(const FileSet& set, DestinationKind destination, const std::vector<SenderResult>& results,
                        std::size_t reference) {
  std::string text = fmt::format(
      "\n**{}**: {}; to {}.\n\n"
      "| sender | wall s | relative | CPU s | files/s | MiB/s | peak RSS MiB | destination's CPU s |\n"
      "|---|---:|---:|---:|---:|---:|---:|---:|\n",
      set.name, Describe(set), Describe(destination));
  for (const SenderResult& result : results) {
    const double wall = MedianOf(result.rounds, [](const Measurement& m) { return m.wall_seconds; });
    const double cpu = MedianOf(result.rounds, [](const Measurement& m) { return m.cpu_seconds; });
    const double rss = MedianOf(result.rounds, [](const Measurement& m) { return m.peak_rss_mebibytes; });
    const bool has_destination_cpu = result.rounds.front().destination_cpu_seconds.has_value();
    const double destination_cpu =
        MedianOf(result.rounds, [](const Measurement& m) { return m.destination_cpu_seconds.value_or(0); });
    text += fmt::format("| {} | {:.2f} | {} | {:.2f} | {:.0f} | {:.0f} | {:.0f} | {} |\n", result.name, wall,
                        RatioText(MedianRatio(result.rounds, results[reference].rounds)), cpu, set.files / wall,
                        set.MebiBytes() / wall, rss,
                        has_destination_cpu ? fmt::format("{:.2f}", destination_cpu) : std::string("-"));
  }
  if (const auto share = MeanOthersShare(results)) {
    text +=
        fmt::format("\nOther processes used {:.0f} % of the machine meanwhile (mean of the runs).\n", 100 * *share);
  }
  return text;
}

}  // namespace dicom_sender
