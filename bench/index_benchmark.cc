// index-benchmark: measures how fast dicom-sender finds and reads files, compared with DCMTK and on storage with
// latency, and how much memory a million files take. Prints Markdown. Exits with status 1 as soon as a run fails.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "bench/destination.h"
#include "bench/file_set.h"
#include "bench/measured_run.h"
#include "bench/report.h"
#include "bench/run_benchmark.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

struct Arguments {
  std::filesystem::path folder = BENCHMARK_FOLDER;
  int rounds = 3;
  int files = 100'000;
  int late_files = 2'000;
  int many_files = 1'000'000;
};

constexpr const char* kTableHead =
    "| | wall s | relative | CPU s | files/s | peak RSS MiB |\n|---|---:|---:|---:|---:|---:|\n";

void PrintRow(const std::string& name, const MeasuredRun& run, int files, double reference_seconds) {
  fmt::print("| {} | {:.2f} | {:.2f} | {:.2f} | {:.0f} | {:.0f} |\n", name, run.wall_seconds,
             run.wall_seconds / reference_seconds, run.cpu_seconds, files / run.wall_seconds, run.peak_rss_mebibytes);
}

class Benchmark {
 public:
  explicit Benchmark(const Arguments& arguments) : arguments_(arguments), folder_(arguments.folder) {}

  void BesideDcmtk();
  void OnLateStorage();
  void WithManyFiles();

 private:
  void Make(int files);
  MeasuredRun Scan(int threads, const std::vector<std::string>& environment = {});
  static MeasuredRun MedianOf(const std::vector<MeasuredRun>& runs);

  const Arguments& arguments_;
  const TemporaryFolder folder_;
};

void Benchmark::Make(int files) {
  fmt::print(stderr, "Making {} files\n", files);
  std::filesystem::remove_all(folder_ / "files");
  MakeFiles({"index", files, std::max(1, files / 100), 2048}, folder_ / "files");
  WarmPageCache(folder_ / "files");
}

// Measures everything except sending, and includes the ledger on disk.
MeasuredRun Benchmark::Scan(int threads, const std::vector<std::string>& environment) {
  std::filesystem::create_directories(folder_ / "output");
  return RunMeasured("dicom-sender --dry-run",
                     {DICOM_SENDER_PROGRAM, "--dry-run", "-r", "-i", folder_ / "files", "--scan-threads",
                      std::to_string(threads), "--output-dir", folder_ / "output"},
                     environment);
}

MeasuredRun Benchmark::MedianOf(const std::vector<MeasuredRun>& runs) {
  std::vector<MeasuredRun> sorted = runs;
  std::ranges::sort(sorted, {}, &MeasuredRun::wall_seconds);
  return sorted[sorted.size() / 2];
}

void Benchmark::BesideDcmtk() {
  Make(arguments_.files);
  const std::vector<int> threads{1, 2, 4};
  std::vector<MeasuredRun> dcmtk;
  std::vector<std::vector<MeasuredRun>> ours(threads.size());
  for (int round = 0; round < arguments_.rounds; ++round) {
    dcmtk.push_back(RunMeasured("dcmtk-load", {DCMTK_LOAD_PROGRAM, folder_ / "files"}));
    for (std::size_t i = 0; i < threads.size(); ++i) ours[i].push_back(Scan(threads[i]));
  }
  const MeasuredRun reference = MedianOf(dcmtk);
  fmt::print("\n**index**: {} files of 2 KiB, warm. dicom-sender checks the structure and writes its ledger.\n\n{}",
             arguments_.files, kTableHead);
  PrintRow("DCMTK loadFile, one thread", reference, arguments_.files, reference.wall_seconds);
  for (std::size_t i = 0; i < threads.size(); ++i) {
    PrintRow(fmt::format("dicom-sender --dry-run --scan-threads {}", threads[i]), MedianOf(ours[i]), arguments_.files,
             reference.wall_seconds);
  }
}

void Benchmark::OnLateStorage() {
  Make(arguments_.late_files);
  const std::vector<std::string> slow{std::string("LD_PRELOAD=") + SLOW_OPEN_LIBRARY,
                                      "SLOW_OPEN_FOLDER=" + (folder_ / "files").string()};
  fmt::print("\n**index, late storage**: {} files, each open(2) takes 2 ms longer.\n\n{}", arguments_.late_files,
             kTableHead);
  double first = 0;
  for (const int threads : {1, 2, 4, 8, 16}) {
    const MeasuredRun run = Scan(threads, slow);
    if (first == 0) first = run.wall_seconds;
    PrintRow(fmt::format("dicom-sender --dry-run --scan-threads {}", threads), run, arguments_.late_files, first);
  }
}

// Coordinator and indexer run in separate processes, so that their memory can be told apart. No worker sends.
void Benchmark::WithManyFiles() {
  Make(arguments_.many_files);
  const std::string endpoint = fmt::format("tcp://127.0.0.1:{}", FindFreePort());
  ChildProcess coordinator({DICOM_COORDINATOR_PROGRAM, "--ledger", folder_ / "ledger.db", "--bind", endpoint,
                            "--output-dir", folder_ / "output"});
  const MeasuredRun run =
      RunMeasured("dicom-indexer", {DICOM_INDEXER_PROGRAM, "--coordinator", endpoint, "-r", "-i", folder_ / "files",
                                    "-a", "NOBODY", "-H", "127.0.0.1", "-p", "1", "--scan-threads", "2"});
  coordinator.Signal(SIGTERM);
  if (coordinator.Wait(std::chrono::minutes(1)) != ProcessEnd{0, 0}) {
    throw std::runtime_error("dicom-coordinator failed\n" + coordinator.Errors());
  }
  fmt::print("\n**index, many files**: {} files of 2 KiB; relative to dicom-indexer.\n\n{}", arguments_.many_files,
             kTableHead);
  PrintRow("dicom-indexer --scan-threads 2", run, arguments_.many_files, run.wall_seconds);
  PrintRow("dicom-coordinator meanwhile",
           {.wall_seconds = run.wall_seconds,
            .cpu_seconds = CpuSeconds(coordinator.Usage()),
            .peak_rss_mebibytes = static_cast<double>(coordinator.Usage().ru_maxrss) / 1024},
           arguments_.many_files, run.wall_seconds);
}

// Each study has 100 files.
const CLI::Validator kHundreds = CLI::Range(100, 10'000'000) &
                                 CLI::Validator(
                                     [](const std::string& text) {
                                       return text.ends_with("00") ? std::string() : "not a multiple of 100: " + text;
                                     },
                                     "");

int Main(int argc, char** argv) {
  CLI::App app("Measures how fast dicom-sender indexes");
  app.option_defaults()->always_capture_default();
  Arguments arguments;
  app.add_option("--folder", arguments.folder, "Where to create a temporary folder for up to 4 GiB of files");
  app.add_option("--rounds", arguments.rounds, "Number of runs of each kind for the comparison with DCMTK")
      ->check(CLI::Range(1, 1000));
  app.add_option("--files", arguments.files, "Number of files for the comparison with DCMTK; hundreds")
      ->check(kHundreds);
  app.add_option("--late-files", arguments.late_files, "Number of files on storage with latency; hundreds")
      ->check(kHundreds);
  app.add_option("--many-files", arguments.many_files,
                 "Number of files for the memory measurement; hundreds; 0: skipped")
      ->check(kHundreds | CLI::IsMember({0}));
  CLI11_PARSE(app, argc, argv);
  std::string command = "bench/run.sh index";
  for (int i = 1; i < argc; ++i) command += fmt::format(" {}", argv[i]);
  Benchmark benchmark(arguments);
  fmt::print("{}. Medians for the comparison with DCMTK, then single runs.\n", RenderMachine(command));
  benchmark.BesideDcmtk();
  std::fflush(stdout);
  benchmark.OnLateStorage();
  std::fflush(stdout);
  if (arguments.many_files > 0) benchmark.WithManyFiles();
  return 0;
}

}  // namespace
}  // namespace dicom_sender

int main(int argc, char** argv) {
  return dicom_sender::RunBenchmark("index-benchmark", [&] { return dicom_sender::Main(argc, argv); });
}
