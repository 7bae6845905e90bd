#include "bench/report.h"

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
  values.reserve(rounds.size());
  for (const Measurement& round : rounds) values.push_back(value(round));
  return Median(std::move(values));
}

// Every run has the same weight, however long it took.
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

double MedianRatio(const std::vector<Measurement>& rounds, const std::vector<Measurement>& reference,
                   double Measurement::*value) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < rounds.size(); ++i) ratios.push_back(rounds[i].*value / reference[i].*value);
  return Median(std::move(ratios));
}

// proc(5): the first line of /proc/stat counts ticks.
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
      "| sender | wall s | relative | CPU s | CPU s/GB | files/s | MiB/s | peak RSS MiB | threads idle | "
      "destination's CPU s "
      "|\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
      set.name, Describe(set), Describe(destination));
  for (const SenderResult& result : results) {
    const auto median = [&](double Measurement::*value) {
      return MedianOf(result.rounds, [=](const Measurement& m) { return m.*value; });
    };
    const auto median_if = [&](std::optional<double> Measurement::*value, double factor, const char* format) {
      if (!(result.rounds.front().*value)) return std::string("-");
      const double found = MedianOf(result.rounds, [=](const Measurement& m) { return (m.*value).value_or(0); });
      return fmt::format(fmt::runtime(format), factor * found);
    };
    const double wall = median(&Measurement::wall_seconds), cpu = median(&Measurement::cpu_seconds);
    const double relative = MedianRatio(result.rounds, results[reference].rounds, &Measurement::wall_seconds);
    text += fmt::format("| {} | {:.2f} | {} | {:.2f} | {:.2f} | {:.0f} | {:.0f} | {:.0f} | {} | {} |\n", result.name,
                        wall, RatioText(relative), cpu, cpu / (set.MebiBytes() * 1.048576e-3), set.files / wall,
                        set.MebiBytes() / wall, median(&Measurement::peak_rss_mebibytes),
                        median_if(&Measurement::idle_share, 100, "{:.0f} %"),
                        median_if(&Measurement::destination_cpu_seconds, 1, "{:.2f}"));
  }
  if (const auto share = MeanOthersShare(results)) {
    text +=
        fmt::format("\nOther processes used {:.0f} % of the machine meanwhile (mean of the runs).\n", 100 * *share);
  }
  return text;
}

}  // namespace dicom_sender
