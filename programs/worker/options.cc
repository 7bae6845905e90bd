#include "programs/worker/options.h"

#include <fmt/format.h>

#include "common/text.h"
#include "proto/limits.h"

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-worker";

Checked SetName(std::optional<std::string>& target, const std::string& text) {
  if (text.empty() || text.size() > kWorkerNameBytesMax) {
    return tl::unexpected(fmt::format("a name of {} bytes: give 1 to {} bytes", text.size(), kWorkerNameBytesMax));
  }
  if (ToPrintable(text) != text) {
    return tl::unexpected(fmt::format("'{}' is not a name: use UTF-8 without control characters", ToPrintable(text)));
  }
  target = text;
  return {};
}

std::vector<OptionGroup> Groups(WorkerProgramOptions& o) {
  return {
      ConnectionGroup(o.connection),
      {"Sending",
       {{'t', "threads", "N", "simultaneous associations, one study each, 1 to 256 (default: 1)",
         SetNumber(o.threads, 1, 256)},
        {0, "path-map", "FROM=TO",
         "where the indexer's folder FROM is on this machine, such as /data=/mnt/nas; repeat it for several",
         [&o](const std::string& text) { return o.path_map.Add(text); }, true, ','},
        {0, "worker-id", "NAME",
         "this worker's name, the same after a restart and different from every other worker's (default: the host's "
         "name and a number)",
         [&o](const std::string& text) { return SetName(o.worker_id, text); }},
        {0, "grace-period", "TIME",
         "how long SIGTERM may wait for the instances in flight and for their reports: 90, 90s, 10m, at most 30d "
         "(default: 1m)",
         SetSpan(o.grace_period)}}},
      ServiceGroup(o.service)};
}

Program Describe(WorkerProgramOptions& options) {
  return {.name = kProgram,
          .about =
              "Leases studies from the coordinator, opens one association for each, sends its instances by\n"
              "C-STORE, and reports each response. Start as many workers as you like, on as many machines as\n"
              "can read the files.\n"
              "\n"
              "  dicom-worker --coordinator tcp://HOST:5555 [OPTION ...]\n",
          .groups = Groups(options),
          .epilogue =
              "SIGTERM, SIGHUP, or Ctrl-C drains the worker: it takes no more studies, finishes the instances\n"
              "in flight, and gives the rest back. A second signal, or the end of --grace-period, aborts.\n"
              "\n"
              "Examples\n"
              "  dicom-worker --coordinator tcp://migration.example.org:5555 -t 4 --path-map /data=/mnt/nas\n"
              "\n"
              "Exit status\n"
              "  0  drained: everything that was sent is reported\n"
              "  2  wrong usage, or a key or address that cannot be used\n"
              "  3  the coordinator refuses this worker: another release, a name that is taken, or another ledger\n"
              "  4  aborted; other workers send again what was not reported\n"
              "  70 internal error\n"};
}

}  // namespace

tl::expected<WorkerProgramOptions, EarlyExit> ParseWorkerOptions(int argc, const char* const* argv,
                                                                 const Environment& environment) {
  WorkerProgramOptions options;
  const auto given = ParseProgram(Describe(options), argc, argv, environment);
  if (!given) return tl::unexpected(given.error());
  return options;
}

}  // namespace dicom_sender
