// ledger-benchmark: measures the ledgers alone, in one thread. It writes the found instances in batches and then
// outcomes in reports. As in the coordinator, 64 reports share a commit. Prints Markdown.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <numeric>

#include "bench/benchmark_ledger.h"
#include "bench/report.h"
#include "bench/run_benchmark.h"
#include "bench/study_feed.h"
#include "common/time.h"

namespace dicom_sender {
namespace {

constexpr std::uint32_t kReportOutcomes = 250;
constexpr std::size_t kReportsPerCommit = 64;

struct Arguments {
  std::uint64_t instances = 500'000;
  std::string command;
};

double PerSecond(std::uint64_t count, TimePoint since) {
  return static_cast<double>(count) / std::chrono::duration<double>(MonotonicNow() - since).count();
}

SessionKey OpenSession(Ledger& ledger) {
  wire::OpenSession settings;
  settings.set_session("benchmark");
  ledger.Begin();
  const SessionKey session = ledger.CreateSession(settings, WallNow()).key;
  ledger.Commit();
  return session;
}

// Commits once per batch. Returns the studies.
std::vector<StudyKey> Feed(Ledger& ledger, SessionKey session, const std::vector<wire::PublishBatch>& batches) {
  std::vector<StudyKey> studies;
  for (const auto& batch : batches) {
    ledger.Begin();
    for (const StudyFeed& feed : ledger.AddStudies(session, batch)) studies.push_back(feed.study);
    ledger.Commit();
  }
  return studies;
}

void Lease(Ledger& ledger, const std::vector<StudyKey>& studies) {
  ledger.Begin();
  for (const StudyKey study : studies) {
    ledger.GrantLease(study, static_cast<LeaseId>(study), "worker", "", 1, WallNow());
  }
  ledger.Commit();
}

// Does what the service does for a report.
void Report(Ledger& ledger, StudyKey study, std::uint64_t seq, std::uint32_t from, std::uint32_t outcomes) {
  const auto lease = ledger.FindLease(static_cast<LeaseId>(study));
  std::vector<std::uint32_t> indices(outcomes);
  std::iota(indices.begin(), indices.end(), from);
  std::vector<InstanceChange> changes;
  for (const InstanceFacts& facts : ledger.LoadInstances(study, indices)) {
    auto& change = changes.emplace_back();
    change.study = study;
    change.index = facts.index;
    change.state = InstanceState::kStored;
    change.attempts = facts.attempts + 1;
    change.status = 0;
    change.duration_us = 5000;
    change.worker = "worker";
    change.before = facts;
  }
  ledger.RecordReport(lease.value(), seq, 1);
  ledger.ChangeInstances(changes, WallNow());
}

void ReportAll(Ledger& ledger, const std::vector<StudyKey>& studies, std::uint32_t instances) {
  std::size_t reports = 0;
  std::uint64_t seq = 0;
  for (std::uint32_t from = 0; from < instances; from += kReportOutcomes) {
    ++seq;
    for (const StudyKey study : studies) {
      if (reports++ % kReportsPerCommit == 0) ledger.Begin();
      Report(ledger, study, seq, from, std::min(kReportOutcomes, instances - from));
      if (reports % kReportsPerCommit == 0) ledger.Commit();
    }
  }
  if (reports % kReportsPerCommit != 0) ledger.Commit();
}

void Measure(BenchmarkLedger& store, const StudyMix& mix) {
  const auto ledger = store.Open();
  const SessionKey session = OpenSession(*ledger);
  std::vector<wire::PublishBatch> batches;
  for (std::uint64_t number = 0; number < mix.Batches(); ++number) batches.push_back(MakeBatch(mix, number));
  auto begin = MonotonicNow();
  const auto studies = Feed(*ledger, session, batches);
  const double in = PerSecond(mix.InAll(), begin);
  const double bytes = static_cast<double>(store.Bytes()) / static_cast<double>(mix.InAll());
  Lease(*ledger, studies);
  begin = MonotonicNow();
  ReportAll(*ledger, studies, mix.instances);
  const double outcomes = PerSecond(mix.InAll(), begin);
  if (const Counts counts = ledger->LoadSession(session).counts; counts.stored != mix.InAll()) {
    throw std::runtime_error(fmt::format("{} of {} instances are stored", counts.stored, mix.InAll()));
  }
  fmt::print("| {} | {} | {} | {:.0f} | {:.0f} | {:.0f} |\n", store.name(), mix.studies, mix.instances, in, outcomes,
             bytes);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  CLI::App app("Measures the ledgers alone");
  app.option_defaults()->always_capture_default();
  Arguments arguments;
  app.add_option("--instances", arguments.instances, "Number per run")->check(CLI::Range(1000, 100'000'000));
  CLI11_PARSE(app, argc, argv);
  arguments.command = "bench/run.sh ledger";
  for (int i = 1; i < argc; ++i) arguments.command += fmt::format(" {}", argv[i]);
  fmt::print("{}\n", RenderMachine(arguments.command));
  fmt::print(
      "| ledger | studies | instances of each | instances/s in | outcomes/s | bytes an instance |\n"
      "|---|---:|---:|---:|---:|---:|\n");
  for (const std::string& kind : BenchmarkLedger::Kinds()) {
    for (const std::uint32_t instances : {500U, 10U}) {
      const auto store = BenchmarkLedger::Make(kind);
      Measure(*store, {.name = "", .studies = arguments.instances / instances, .instances = instances});
    }
  }
  return 0;
}

}  // namespace
}  // namespace dicom_sender

int main(int argc, char** argv) {
  return dicom_sender::RunBenchmark("ledger-benchmark", [&] { return dicom_sender::Main(argc, argv); });
}
