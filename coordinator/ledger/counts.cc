#include "coordinator/ledger/counts.h"

#include <fmt/format.h>

#include <algorithm>

namespace dicom_sender {
namespace {

// FNV-1a.
std::uint32_t Hash(std::string_view bytes) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

std::int64_t Join(std::uint32_t high, std::uint32_t low) {
  return static_cast<std::int64_t>(std::uint64_t{high} << 32 | low);
}

bool IsStored(InstanceState state) {
  return state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
}

}  // namespace

std::string CountNames() {
  return ForEachCount([](std::string name) { return name; });
}

std::string StudiesWith(std::span<const InstanceState> states) {
  std::string condition;
  for (const InstanceState state : states) {
    const char* part = kUnsettledStudies;
    if (state == InstanceState::kStored) part = "stored > 0";
    if (state == InstanceState::kStoredWithWarning) part = "warned > 0";
    if (state == InstanceState::kFailed) part = "failed > 0";
    if (state == InstanceState::kSkipped) part = "skipped > conflicts";
    if (state == InstanceState::kConflict) part = "conflicts > 0";
    condition += (condition.empty() ? "" : " OR ") + std::string(part);
  }
  return "(" + condition + ")";
}

void Add(Counts& counts, const Counts& delta) {
  for (const auto& column : kCountColumns) counts.*column.member += delta.*column.member;
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

Beginning BeginningOf(const wire::Instance& instance, const std::optional<Original>& original) {
  if (!instance.defect().empty()) return {.state = InstanceState::kFailed, .reason = instance.defect()};
  if (!original) return {};
  return {.state = InstanceState::kSkipped,
          .reason = fmt::format("same SOP Instance UID as {}, not compared", original->path)};
}

std::string DuplicateReason(std::string_view original_path) { return fmt::format("duplicate of {}", original_path); }

std::string ConflictReason(std::string_view original_path, std::string_view difference) {
  return fmt::format("conflict with {}, which has the same SOP Instance UID: {}", original_path, difference);
}

std::string ReplacedReason(std::string_view failure, std::string_view copy_path) {
  return fmt::format("{}, which has the same SOP Instance UID, is sent instead, because this one failed: {}",
                     copy_path, failure);
}

std::int64_t PathHash(std::string_view root, std::string_view path) { return Join(Hash(root), Hash(path)); }

// UIDs of one series share their beginning; with its hash in front, they stay near each other in the index.
std::int64_t UidHash(std::string_view uid) {
  const std::size_t dot = std::min(uid.rfind('.'), uid.size());
  return Join(Hash(uid.substr(0, dot)), Hash(uid.substr(dot)));
}

std::int64_t IndexerHash(std::string_view name) {
  return Join(Hash(name.substr(0, name.size() / 2)), Hash(name.substr(name.size() / 2)));
}

std::int64_t Milliseconds(WallTime time) { return time.time_since_epoch().count(); }
WallTime FromMilliseconds(std::int64_t milliseconds) { return WallTime(std::chrono::milliseconds(milliseconds)); }

}  // namespace dicom_sender
