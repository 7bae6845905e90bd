#include "coordinator/ledger/counts.h"

#include <algorithm>

namespace dicom_sender {
namespace {

bool IsStored(InstanceState state) {
  return state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
}

}  // namespace

std::string CountNames() {
  return ForEachCount([](std::string name) { return name; });
}

void Add(Counts& counts, const Counts& delta) {
  for (const auto& column : kCountColumns) counts.*column.member += delta.*column.member;
}

void SessionGrowths::Add(SessionKey session, const Counts& delta, std::uint64_t studies) {
  Growth& growth = growths_[session];
  dicom_sender::Add(growth.counts, delta);
  growth.studies += studies;
}

void SessionGrowths::AddTo(SessionRecord& record) const {
  const auto growth = growths_.find(record.key);
  if (growth == growths_.end()) return;
  dicom_sender::Add(record.counts, growth->second.counts);
  record.studies += growth->second.studies;
}

void Contribute(Counts& counts, InstanceState state, std::uint64_t size, std::uint64_t duration_us, bool removes,
                std::uint64_t instances) {
  const auto add = [removes](std::uint64_t& count, std::uint64_t value) { count += removes ? 0 - value : value; };
  if (!IsSettled(state)) return;
  add(counts.settled_bytes, size);
  if (state == InstanceState::kSkipped || state == InstanceState::kConflict) add(counts.skipped, instances);
  if (state == InstanceState::kConflict) add(counts.conflicts, instances);
  if (state == InstanceState::kFailed) add(counts.failed, instances);
  if (!IsStored(state)) return;
  add(state == InstanceState::kStored ? counts.stored : counts.warned, instances);
  add(counts.stored_bytes, size);
  add(counts.store_us, duration_us);
}

void Contribute(Counts& counts, const InstanceChange& change) {
  const InstanceFacts& before = change.before;
  Contribute(counts, before.state, before.size_bytes, before.duration_us, true);
  Contribute(counts, change.state, before.size_bytes, change.duration_us, false);
  counts.retries += std::max<std::uint64_t>(change.attempts, 1) - std::max<std::uint64_t>(before.attempts, 1);
  counts.resends += change.resend;
}

std::int64_t Milliseconds(WallTime time) { return time.time_since_epoch().count(); }
WallTime FromMilliseconds(std::int64_t milliseconds) { return WallTime(std::chrono::milliseconds(milliseconds)); }

}  // namespace dicom_sender
