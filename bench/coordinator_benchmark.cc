// coordinator-benchmark: measures the throughput of one coordinator. The real coordinator runs in its own process,
// with its ledger on disk, and talks over TCP to several indexers and a thousand workers that have no files. The
// benchmark kills it when half of the instances are sent; it must restart and finish with everything stored. Prints
// Markdown. If that fails, it exits with status 1 and prints no table.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <string_view>
#include <thread>

#include "bench/benchmark_ledger.h"
#include "bench/coordinator_process.h"
#include "bench/report.h"
#include "bench/run_benchmark.h"
#include "bench/simulated_workers.h"
#include "bench/study_feed.h"
#include "common/open_files.h"
#include "common/uuid.h"
#include "transport/coordinator_client.h"

namespace dicom_sender {
namespace {

using std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::chrono::minutes kPatience(10);
constexpr std::chrono::milliseconds kLookEvery(10);
constexpr int kFilesPerWorker = 8, kSocketsPerWorker = 4;  // a socket monitor counts as a socket

struct Arguments {
  std::uint64_t instances = 100'000;
  unsigned workers = 1000;
  unsigned capacity = 4;
  unsigned worker_threads = 1;
  unsigned publishers = 4;
  std::vector<std::string> mixes{"small", "random", "large"};
  std::string ledger = "sqlite";
  std::string command;
};

// Rates are per second; "busy" is the share of the time for which the coordinator's process used a processor.
struct Figures {
  double instances_in = 0, feed_busy = 0;
  double leases = 0, outcomes = 0, send_busy = 0;
  double peak_mebibytes = 0;
  double restart_seconds = 0;
};

std::vector<StudyMix> Mixes(const Arguments& arguments) {
  const auto mix = [&](std::string name, std::uint32_t instances, bool random) {
    return StudyMix{std::move(name), std::max<std::uint64_t>(arguments.instances / instances, 1), instances, random};
  };
  std::vector<StudyMix> mixes{mix("small", 10, false), mix("random", 10, true), mix("large", 1000, false)};
  std::erase_if(mixes, [&](const StudyMix& m) {
    return std::find(arguments.mixes.begin(), arguments.mixes.end(), m.name) == arguments.mixes.end();
  });
  return mixes;
}

class Benchmark {
 public:
  Benchmark(const Arguments& arguments, StudyMix mix)
      : arguments_(arguments), mix_(std::move(mix)), port_(FindFreePort()), session_(NewUuid()) {
    context_.set(zmq::ctxopt::max_sockets, static_cast<int>(arguments.workers * kSocketsPerWorker + 100));
  }

  Figures Run();

 private:
  std::string Endpoint() const { return fmt::format("tcp://127.0.0.1:{}", port_); }
  wire::ClientReply Ask(CoordinatorClient& client, wire::ClientRequest request) const;
  wire::SessionStatus Status(CoordinatorClient& client) const;
  void Open(CoordinatorClient& client) const;
  void Publish(std::atomic<std::uint64_t>& next_batch);
  void Feed(CoordinatorClient& client, const CoordinatorProcess& coordinator, Figures& figures);
  void SendHalf(CoordinatorClient& client, const CoordinatorProcess& coordinator, const SimulatedWorkers& workers,
                Figures& figures) const;
  // Waits until this many instances are stored.
  void WaitForStored(CoordinatorClient& client, std::uint64_t instances) const;

  const Arguments& arguments_;
  const StudyMix mix_;
  const std::uint16_t port_;
  const std::string session_;
  zmq::context_t context_;
};

wire::ClientReply Benchmark::Ask(CoordinatorClient& client, wire::ClientRequest request) const {
  auto reply = client.Call(std::move(request), {}, kPatience);
  if (!reply) throw std::runtime_error(reply.error().reason);
  return std::move(*reply);
}

wire::SessionStatus Benchmark::Status(CoordinatorClient& client) const {
  wire::ClientRequest request;
  request.mutable_get_session()->set_session(session_);
  return Ask(client, std::move(request)).session();
}

void Benchmark::Open(CoordinatorClient& client) const {
  wire::ClientRequest request;
  auto* open = request.mutable_open_session();
  open->set_session(session_);
  open->mutable_destination()->set_called_ae("ARCHIVE");
  open->mutable_destination()->set_calling_ae("BENCHMARK");
  open->mutable_destination()->set_host("archive.example");
  open->mutable_destination()->set_port(104);
  auto* options = open->mutable_send_options();
  options->set_max_pdu_bytes(131072);
  options->set_connect_timeout_ms(10'000);
  options->set_acse_timeout_ms(30'000);
  options->set_dimse_timeout_ms(120'000);
  options->set_idle_timeout_ms(60'000);
  open->set_attempts_max(5);
  open->set_retry_for_ms(60'000);
  Ask(client, std::move(request));
  wire::ClientRequest scan;
  scan.mutable_begin_scan()->set_session(session_);
  scan.mutable_begin_scan()->set_indexer("indexer");
  scan.mutable_begin_scan()->set_scan(1);
  Ask(client, std::move(scan));
}

void Benchmark::Publish(std::atomic<std::uint64_t>& next_batch) {
  CoordinatorClient client(context_, {Endpoint()});
  for (std::uint64_t number; (number = next_batch++) < mix_.Batches();) {
    wire::ClientRequest request;
    *request.mutable_publish_batch() = MakeBatch(mix_, number);
    request.mutable_publish_batch()->set_session(session_);
    Ask(client, std::move(request));
  }
}

void Benchmark::Feed(CoordinatorClient& client, const CoordinatorProcess& coordinator, Figures& figures) {
  const double cpu = coordinator.CpuSeconds();
  const auto begin = steady_clock::now();
  std::atomic<std::uint64_t> next_batch = 0;
  std::vector<std::exception_ptr> failures(arguments_.publishers);
  {
    std::vector<std::jthread> publishers;
    publishers.reserve(failures.size());
    for (auto& failure : failures) {
      publishers.emplace_back([&] {
        try {
          Publish(next_batch);
        } catch (...) {
          failure = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  wire::ClientRequest request;
  request.mutable_scan_complete()->set_session(session_);
  request.mutable_scan_complete()->set_indexer("indexer");
  request.mutable_scan_complete()->set_scan(1);
  Ask(client, std::move(request));
  const double seconds = Seconds(steady_clock::now() - begin).count();
  figures.instances_in = static_cast<double>(mix_.InAll()) / seconds;
  figures.feed_busy = (coordinator.CpuSeconds() - cpu) / seconds;
}

void Benchmark::WaitForStored(CoordinatorClient& client, std::uint64_t instances) const {
  auto progress_at = steady_clock::now();
  for (std::uint64_t last = 0;;) {
    const std::uint64_t stored = Status(client).stored();
    if (stored >= instances) return;
    if (stored > last) progress_at = steady_clock::now();
    if (steady_clock::now() > progress_at + kPatience) {
      throw std::runtime_error(fmt::format("no progress: {} of {} instances are stored", stored, mix_.InAll()));
    }
    last = stored;
    std::this_thread::sleep_for(kLookEvery);
  }
}

void Benchmark::SendHalf(CoordinatorClient& client, const CoordinatorProcess& coordinator,
                         const SimulatedWorkers& workers, Figures& figures) const {
  WaitForStored(client, 1);  // all workers are connected
  const std::uint64_t leases = workers.leases(), stored = Status(client).stored();
  const double cpu = coordinator.CpuSeconds();
  const auto begin = steady_clock::now();
  WaitForStored(client, mix_.InAll() / 2);
  const double seconds = Seconds(steady_clock::now() - begin).count();
  figures.leases = static_cast<double>(workers.leases() - leases) / seconds;
  figures.outcomes = static_cast<double>(Status(client).stored() - stored) / seconds;
  figures.send_busy = (coordinator.CpuSeconds() - cpu) / seconds;
}

Figures Benchmark::Run() {
  const auto ledger = BenchmarkLedger::Make(arguments_.ledger);
  Figures figures;
  CoordinatorProcess first(ledger->place(), port_, {});
  CoordinatorClient client(context_, {Endpoint()});
  Open(client);
  Feed(client, first, figures);
  const SimulatedWorkers workers(context_, {.endpoint = Endpoint(),
                                            .workers = arguments_.workers,
                                            .capacity = arguments_.capacity,
                                            .threads = arguments_.worker_threads});
  SendHalf(client, first, workers, figures);
  figures.peak_mebibytes = first.PeakMebiBytes();
  first.Kill();
  CoordinatorProcess second(ledger->place(), port_, session_);
  figures.restart_seconds = second.start_time().count();
  WaitForStored(client, mix_.InAll());
  figures.peak_mebibytes = std::max(figures.peak_mebibytes, second.PeakMebiBytes());
  if (const auto status = Status(client); status.total() != mix_.InAll() || status.stored() != mix_.InAll()) {
    throw std::runtime_error(fmt::format("{} of {} instances are stored", status.stored(), status.total()));
  }
  return figures;
}

void Run(const Arguments& arguments) {
  if (const auto allowed = AllowOpenFiles(arguments.workers * kFilesPerWorker); !allowed) {
    throw std::runtime_error(allowed.error());
  }
  fmt::print("{}\n", RenderMachine(arguments.command));
  fmt::print(
      "| studies | instances of each | UIDs | instances/s in | busy | leases/s | outcomes/s | busy | peak RSS MiB | "
      "restart s |\n"
      "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const StudyMix& mix : Mixes(arguments)) {
    const Figures figures = Benchmark(arguments, mix).Run();
    fmt::print("| {} | {} | {} | {:.0f} | {:.2f} | {:.0f} | {:.0f} | {:.2f} | {:.0f} | {:.2f} |\n", mix.studies,
               mix.instances, mix.random_uids ? "random" : "counted", figures.instances_in, figures.feed_busy,
               figures.leases, figures.outcomes, figures.send_busy, figures.peak_mebibytes, figures.restart_seconds);
    std::fflush(stdout);
  }
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Feeds a coordinator with studies and lets simulated workers send them, and prints how fast that goes");
  app.option_defaults()->always_capture_default();
  Arguments arguments;
  app.add_option("--instances", arguments.instances,
                 "Number per mix; the ledger needs 0.3 KB for each in the temporary folder")
      ->check(CLI::Range(1000, 100'000'000));
  app.add_option(
         "--mix", arguments.mixes,
         "small: studies of 10 instances; random: the same with UIDs made of UUIDs; large: of 1000; repeatable")
      ->check(CLI::IsMember({"small", "random", "large"}))
      ->allow_extra_args(false);
  app.add_option("--workers", arguments.workers, "Simulated workers, each with a connection")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--capacity", arguments.capacity, "Associations per worker")->check(CLI::Range(1, 256));
  app.add_option("--worker-threads", arguments.worker_threads, "Threads that they share")->check(CLI::Range(1, 64));
  app.add_option("--publishers", arguments.publishers, "Connections that publish at the same time")
      ->check(CLI::Range(1, 64));
  app.add_option("--ledger", arguments.ledger, "Where the coordinator keeps its ledger")
      ->check(CLI::IsMember(BenchmarkLedger::Kinds()));
  CLI11_PARSE(app, argc, argv);
  arguments.command = "bench/run.sh coordinator";
  for (int i = 1; i < argc; ++i) arguments.command += fmt::format(" {}", argv[i]);
  Run(arguments);
  return 0;
}

}  // namespace
}  // namespace dicom_sender

int main(int argc, char** argv) {
  using namespace dicom_sender;
  return RunBenchmark("coordinator-benchmark", [&] {
    if (argc == 4 && std::string_view(argv[1]) == kServeArgument) return ServeCoordinator(argv[2], argv[3]);
    return Main(argc, argv);
  });
}
