#include "programs/worker/options.h"

#include <fmt/format.h>

#include "common/text.h"
#include "proto/limits.h"

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-worker";

Checked SetName(std::optional<std::string>& target, const std::string& text) {
  if (text.empty() || text.size() > kWorkerNameBytesMax) {
    return tl::unexpected(fmt::format("a name has 1 to {} bytes, this one {}", kWorkerNameBytesMax, text.size()));
  }
  if (ToPrintable(text) != text) {
    return tl::unexpected(fmt::format("'{}' is no name: use UTF-8 without control characters", ToPrintable(text)));
  }
  target = text;
  return {};
}

std::vector<OptionGroup> Groups(WorkerProgramOptions& o) {
  return {ConnectionGroup(o.connection),
          {"Sending",
           {{'t', "threads", "N", "associations at the same time, one study each, 1 to 256 (default: 1)",
             SetNumber(o.threads, 1, 256)},
            {0, "path-map", "FROM=TO",
             "where the indexer's folder FROM is on this machine, such as /data=/mnt/nas; repeat it for several",
             [&o](const std::string& text) { return o.path_map.Add(text); }, true, ','},
            {0, "worker-id", "NAME",
             "our name, the same after a restart and no other worker's (default: the host's name and a number)",
             [&o](const std::string& text) { return SetName(o.worker_id, text); }},
            {0, "grace-period", "TIME",
             "how long SIGTERM may wait for the instances in flight and for their reports: 90, 90s, 10m, at most 30d "
             "(default: 1m)",
             SetSpan(o.grace_period)}}},
          ServiceGroup(o.service)};
}

Program Describe(WorkerProgramOptions& options) {
  return {
      .name = kProgram,
      .about =
          "Sends what the coordinator hands out: leases studies, opens one association for each, sends its "
          "instances\n"
          "by C-STORE and reports each answer. Start as many as you like, on as many machines as see the files.\n"
          "\n"
          "  dicom-worker --coordinator tcp://HOST:5555 [OPTION ...]\n",
      .groups = Groups(options),
      .epilogue =
          "SIGTERM or Ctrl-C drains: no more studies, the instances in flight are finished, the rest is given back.\n"
          "A second one, or the end of --grace-period, aborts.\n"
          "\n"
          "Examples\n"
          "  dicom-worker --coordinator tcp://migration.example.org:5555 -t 4 --path-map /data=/mnt/nas\n"
          "\n"
          "Exit status\n"
          "  0  drained: everything that was sent is reported\n"
          "  2  wrong usage, or a key or address that cannot be used\n"
          "  3  the coordinator does not want us: other release, our name is taken, or another ledger\n"
          "  4  aborted; what was not reported is sent again by others\n"
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
