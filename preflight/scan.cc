#include "preflight/scan.h"

#include <poll.h>

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kLookEvery(5);

}  // namespace

tl::expected<void, Failure> WaitForScan(Engine& engine, StopSignals& signals, Console& console) {
  const TimePoint begin = MonotonicNow();
  while (!engine.indexer_ended()) {
    if (signals.count() > 0) return tl::unexpected(Failure{kExitInterrupted, "interrupted; nothing was sent"});
    if (const auto failure = engine.failure()) return tl::unexpected(*failure);
    pollfd wait{signals.fd(), POLLIN, 0};
    poll(&wait, 1, static_cast<int>(kLookEvery.count()));
    signals.Clear();
    const IndexerProgress& index = engine.index_progress();
    console.Indexing(
        {.elapsed = MonotonicNow() - begin, .files = index.files, .found = index.found, .compared = index.compared},
        MonotonicNow());
  }
  console.EndProgress();
  if (const auto failure = engine.failure()) return tl::unexpected(*failure);
  if (const auto failure = engine.indexer_failure()) return tl::unexpected(Failure{kExitInternal, *failure});
  return {};
}

}  // namespace dicom_sender
