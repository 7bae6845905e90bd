#include "bench/aims.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/senders.h"

namespace dicom_sender {
namespace {

struct Aim {
  std::string sender, against;
  double Measurement::*what = &Measurement::wall_seconds;
  double ratio_max = 1;
};

std::vector<Aim> AimsOf(const FileSet& set) {
  const auto ours = [](int associations, int window = 1) {
    return NameOf(SenderProgram::kDicomSender, associations, window);
  };
  const auto rs = [](int associations) { return NameOf(SenderProgram::kDicomRs, associations); };
  const auto wall = &Measurement::wall_seconds;
  // Close to linear: a tenth is allowed for opening and closing 16 associations.
  if (set.name == "late") {
    return {{ours(1, kWindow), kTunedDcmsend, wall, 1 / 10.0}, {ours(16), ours(1), wall, 1.1 / 16}};
  }
  std::vector<Aim> aims;
  if (set.name == "small") {
    aims = {{ours(1), kTunedDcmsend, wall, 1 / 2.0}, {ours(1, kWindow), kTunedDcmsend, wall, 1 / 8.0}};
  } else if (set.name == "ct") {
    aims = {{ours(1), kTunedDcmsend, wall, 1 / 1.6}, {ours(1, kWindow), kTunedDcmsend, wall, 1 / 2.0}};
  } else if (set.name == "big") {
    aims = {{ours(1), kTunedDcmsend, wall, 1 / 1.5}};
  } else {
    return {};
  }
  aims.push_back({ours(2), rs(2), wall, 1 / 1.5});
  aims.push_back({ours(4), rs(4), wall, 1 / 1.5});
  aims.push_back({ours(1), kTunedDcmsend, &Measurement::cpu_seconds, 0.5});
  aims.push_back({ours(1), kRawTransfer, wall, 1.5});
  return aims;
}

const SenderResult* Find(const std::vector<SenderResult>& results, const std::string& name) {
  const auto it = std::ranges::find(results, name, &SenderResult::name);
  return it == results.end() ? nullptr : &*it;
}

}  // namespace

std::string RenderAims(const FileSet& set, DestinationKind destination, const std::vector<SenderResult>& results) {
  if (destination != DestinationKind::kSink && destination != DestinationKind::kLateSink) return {};
  std::string text;
  for (const Aim& aim : AimsOf(set)) {
    const SenderResult* sender = Find(results, aim.sender);
    const SenderResult* against = Find(results, aim.against);
    const char* what = aim.what == &Measurement::wall_seconds ? "wall time" : "CPU time";
    text += fmt::format("| {}, {}, of {} | {:.3f} | ", aim.sender, what, aim.against, aim.ratio_max);
    if (sender == nullptr || against == nullptr) {
      text += fmt::format("not measured: no {} |\n", sender == nullptr ? aim.sender : aim.against);
      continue;
    }
    const double ratio = MedianRatio(sender->rounds, against->rounds, aim.what);
    text += fmt::format("{:.3f}, {} |\n", ratio, ratio <= aim.ratio_max ? "reached" : "missed");
  }
  return text.empty() ? text : "\n| part | at most | measured |\n|---|---:|---|\n" + text;
}

}  // namespace dicom_sender
