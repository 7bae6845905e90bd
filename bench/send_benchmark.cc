// send-benchmark: compares dicom-sender with other senders. They take turns at sending the same files to the same
// destination. Prints Markdown. As soon as one sender fails or one instance does not arrive, it exits with status 1
// and prints no table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "bench/aims.h"
#include "bench/destination.h"
#include "bench/file_set.h"
#include "bench/measured_run.h"
#include "bench/report.h"
#include "bench/run_benchmark.h"
#include "bench/senders.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using std::chrono::steady_clock;

// Two processes on one processor wake each other faster than on two, so load from other processes does more than slow
// the run down.
constexpr double kNoisyShare = 0.15;
constexpr std::chrono::milliseconds kQuietTime(500);
constexpr std::chrono::minutes kQuietTimeout(10);

struct Arguments {
  std::filesystem::path folder = BENCHMARK_FOLDER;
  int rounds = 3;
  double scale = 1;
  int plain_files = 500;
  bool without_plain = false;
  bool quiet_only = false;
  std::vector<std::string> sets{"small", "ct", "big", "late", "giant", "crowd"};
  std::vector<std::string> against{"sink", "storescp", "orthanc"};
  std::string command;
};

// Nagle's algorithm on either side makes every sender except dicom-sender wait 40 ms per file, and Orthanc stores
// only some hundreds of files per second. These runs get a part of the files.
bool GetsSome(const Sender& sender, DestinationKind destination) {
  if (destination == DestinationKind::kOrthanc) return true;
  return sender.program != SenderProgram::kDicomSender &&
         (!sender.no_delay || destination == DestinationKind::kStorescp);
}

class Benchmark {
 public:
  explicit Benchmark(const Arguments& arguments) : arguments_(arguments), folder_(arguments.folder) {}

  // Prints one table for each destination.
  void Run(const FileSet& set);

 private:
  // The file set that the table describes; the times of senders that get a part of it are extrapolated.
  const FileSet& Shown(DestinationKind destination) const {
    return destination == DestinationKind::kOrthanc ? some_ : all_;
  }
  std::vector<Sender> Senders(const FileSet& set, DestinationKind destination) const;
  void PrintLeftOut(DestinationKind destination) const;
  std::vector<SenderResult> RunAll(const FileSet& set, DestinationKind destination);
  Measurement RunQuietly(const Sender& sender, DestinationKind destination);
  Measurement RunOnce(const Sender& sender, DestinationKind destination);

  const Arguments& arguments_;
  const TemporaryFolder folder_;
  FileSet all_, some_;  // some_ is the part; see GetsSome
};

std::vector<DestinationKind> Destinations(const FileSet& set, const std::vector<std::string>& names) {
  if (set.name == "late") return {DestinationKind::kLateSink};
  if (set.name == "giant" || set.name == "crowd") return {DestinationKind::kSink};  // these sets measure memory
  std::vector<DestinationKind> kinds;
  for (const std::string& name : names) {
    if (name == "sink") kinds.push_back(DestinationKind::kSink);
    if (name == "storescp") {
      kinds.insert(kinds.end(), {DestinationKind::kStorescp, DestinationKind::kStorescpNoDelay});
    }
    if (name == "orthanc") kinds.push_back(DestinationKind::kOrthanc);
  }
  return kinds;
}

std::size_t IndexOf(const std::vector<SenderResult>& results, const std::string& name) {
  return static_cast<std::size_t>(std::ranges::find(results, name, &SenderResult::name) - results.begin());
}

void Benchmark::Run(const FileSet& set) {
  fmt::print(stderr, "Making {}: {}\n", set.name, Describe(set));
  all_ = set;
  MakeFiles(all_, folder_ / "all");
  some_ = LinkSome(all_, folder_ / "all", arguments_.plain_files, folder_ / "some");
  WarmPageCache(folder_ / "all");
  for (const DestinationKind destination : Destinations(set, arguments_.against)) {
    if (!IsAvailable(destination)) {
      fmt::print("\n**{}**: not measured with {}: it is not installed.\n", set.name, Describe(destination));
      continue;
    }
    const std::vector<SenderResult> results = RunAll(set, destination);
    fmt::print("{}", RenderTable(Shown(destination), destination, results, IndexOf(results, kTunedDcmsend)));
    fmt::print("{}", RenderAims(all_, destination, results));
    PrintLeftOut(destination);
    std::fflush(stdout);
  }
  std::filesystem::remove_all(folder_ / "all");
  std::filesystem::remove_all(folder_ / "some");
}

void Benchmark::PrintLeftOut(DestinationKind destination) const {
  if (DicomRsProgram().empty() && all_.studies > 1 && destination != DestinationKind::kLateSink) {
    fmt::print("\ndicom-rs was not measured: dicom-storescu is not installed (cargo install dicom-storescu).\n");
  }
  std::vector<std::string> names;
  for (const Sender& sender : Senders(all_, destination)) {
    if (GetsSome(sender, destination)) names.push_back(sender.name);
  }
  if (names.empty() || some_.files == Shown(destination).files) return;
  fmt::print("\n{} of the files, evenly from all studies, were sent, and the times multiplied by {:.3g}, by: {}.\n",
             some_.files, double{1} * all_.files / some_.files, fmt::join(names, "; "));
}

std::vector<Sender> Benchmark::Senders(const FileSet& set, DestinationKind destination) const {
  return SendersFor(set, destination, !arguments_.without_plain);
}

std::vector<SenderResult> Benchmark::RunAll(const FileSet& set, DestinationKind destination) {
  const std::vector<Sender> senders = Senders(set, destination);
  std::vector<SenderResult> results;
  results.reserve(senders.size());
  for (const Sender& sender : senders) results.push_back({sender.name, {}});
  for (int round = 1; round <= arguments_.rounds; ++round) {
    for (std::size_t i = 0; i < senders.size(); ++i) {
      const Measurement measured = RunQuietly(senders[i], destination);
      fmt::print(stderr, "{}, round {} of {}, {}: {:.3f} s\n", set.name, round, arguments_.rounds, senders[i].name,
                 measured.wall_seconds);
      results[i].rounds.push_back(measured);
    }
  }
  return results;
}

// Returns once all processes together use little of the machine.
void WaitForQuiet(steady_clock::time_point until) {
  const double limit =
      kNoisyShare * std::thread::hardware_concurrency() * std::chrono::duration<double>(kQuietTime).count();
  for (double busy = limit + 1; busy > limit;) {
    if (steady_clock::now() > until) throw std::runtime_error("other processes use the machine");
    const double before = BusySeconds();
    std::this_thread::sleep_for(kQuietTime);
    busy = BusySeconds() - before;
  }
}

// If only quiet runs count, disturbed runs are discarded regardless of their result. A sender that mostly waits is
// less sensitive to other load.
Measurement Benchmark::RunQuietly(const Sender& sender, DestinationKind destination) {
  if (!arguments_.quiet_only || GetsSome(sender, destination)) return RunOnce(sender, destination);
  const auto until = steady_clock::now() + kQuietTimeout;
  while (true) {
    WaitForQuiet(until);
    const Measurement measured = RunOnce(sender, destination);
    if (OthersShare(measured).value_or(0) <= kNoisyShare) return measured;
    fmt::print(stderr, "Disturbed by other processes ({:.3f} s): once more\n", measured.wall_seconds);
  }
}

Measurement Benchmark::RunOnce(const Sender& sender, DestinationKind kind) {
  if (sender.program == SenderProgram::kRaw) kind = DestinationKind::kRaw;
  const bool gets_some = GetsSome(sender, kind);
  const FileSet& set = gets_some ? some_ : all_;
  const auto expected = static_cast<std::uint64_t>(set.files);
  const auto output = folder_ / "output", received_folder = folder_ / "received";
  for (const auto& folder : {output, received_folder}) std::filesystem::create_directory(folder);
  Destination destination(kind, received_folder);
  const auto command = CommandOf(sender, folder_ / (gets_some ? "some" : "all"), output, destination.port());
  std::vector<std::string> environment;
  if (sender.no_delay) environment.push_back("TCP_NODELAY=1");

  const double busy_before = BusySeconds();
  const MeasuredRun run = RunMeasured(sender.name, command, environment);
  const double busy = BusySeconds() - busy_before;

  const Received received = destination.Stop(expected);
  if (received.instances != expected) {
    throw std::runtime_error(
        fmt::format("{} sent {} files, {} instances arrived", sender.name, expected, received.instances));
  }
  const auto idle_share = IdleShare(output, sender.associations);
  for (const auto& folder : {output, received_folder}) std::filesystem::remove_all(folder);
  const double share = double{1} * Shown(kind).files / set.files;
  std::optional<double> destination_cpu = received.cpu_seconds;
  if (destination_cpu) *destination_cpu *= share;
  return {.wall_seconds = run.wall_seconds * share,
          .cpu_seconds = run.cpu_seconds * share,
          .peak_rss_mebibytes = run.peak_rss_mebibytes,
          .destination_cpu_seconds = destination_cpu,
          .busy_seconds = busy * share,
          .idle_share = idle_share};
}

std::string FirstLine(const std::vector<std::string>& command) {
  const std::string output = RunProcess(command, std::chrono::seconds(10)).output;
  return output.substr(0, output.find('\n'));
}

// "$dcmtk: dcmsend v3.6.7 2022-04-22 $"
std::string DcmsendVersion() {
  const std::string line = FirstLine({"dcmsend", "--version"});
  const auto begin = line.find("dcmsend");
  return begin == std::string::npos ? line : line.substr(begin, line.rfind(' ') - begin);
}

// The versions of the programs that take part.
std::vector<std::string> Versions() {
  std::vector<std::string> versions{FirstLine({DICOM_SENDER_PROGRAM, "--version"}), DcmsendVersion()};
  if (!DicomRsProgram().empty()) versions.push_back(FirstLine({DicomRsProgram(), "--version"}));
  if (const auto orthanc = FindProgram("Orthanc"); !orthanc.empty()) {
    versions.push_back(FirstLine({orthanc, "--version"}));
  }
  return versions;
}

void Run(const Arguments& arguments) {
  ::unsetenv("TCP_NODELAY");  // "as installed" means without TCP_NODELAY
  Benchmark benchmark(arguments);
  fmt::print("{}", RenderHeader(arguments.command, Versions()));
  for (const FileSet& set : FileSets(arguments.scale)) {
    if (std::find(arguments.sets.begin(), arguments.sets.end(), set.name) != arguments.sets.end()) benchmark.Run(set);
  }
}

int Main(int argc, char** argv) {
  CLI::App app("Sends sets of files with dicom-sender and with others, in turn, and prints the ratios");
  app.option_defaults()->always_capture_default();
  Arguments arguments;
  app.add_option("--folder", arguments.folder, "Where to create a temporary folder for up to 2 GiB of files");
  app.add_option("--rounds", arguments.rounds, "Number of runs of each sender")->check(CLI::Range(1, 1000));
  app.add_option("--scale", arguments.scale, "Factor by which the sets are smaller, for a quick run")
      ->check(CLI::Range(0.0001, 1.0));
  app.add_option("--set", arguments.sets, "small, ct, big, late, giant, or crowd; repeatable")
      ->check(CLI::IsMember({"small", "ct", "big", "late", "giant", "crowd"}))
      ->allow_extra_args(false);
  app.add_option("--against", arguments.against, "sink, storescp, or orthanc; repeatable")
      ->check(CLI::IsMember({"sink", "storescp", "orthanc"}))
      ->allow_extra_args(false);
  app.add_option("--plain-files", arguments.plain_files, "How many files of a set to send where each takes long")
      ->check(CLI::Range(1, 100'000));
  app.add_flag("--without-plain-dcmsend", arguments.without_plain, "Leave out dcmsend without TCP_NODELAY=1");
  app.add_flag(
      "--quiet-only", arguments.quiet_only,
      "Wait until the machine is idle, and repeat runs during which other processes used more than 15 % of it");
  CLI11_PARSE(app, argc, argv);
  arguments.command = "bench/run.sh";
  for (int i = 1; i < argc; ++i) arguments.command += fmt::format(" {}", argv[i]);
  Run(arguments);
  return 0;
}

}  // namespace
}  // namespace dicom_sender

int main(int argc, char** argv) {
  return dicom_sender::RunBenchmark("send-benchmark", [&] { return dicom_sender::Main(argc, argv); });
}
