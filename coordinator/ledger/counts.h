// What the implementations of the ledger share: the columns of Counts and what an instance adds to them, and by which
// numbers known files are found again.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// The columns of Counts, in study and in session, and where each is in the struct.
struct CountColumn {
  const char* name;
  std::uint64_t Counts::*member;
};
inline constexpr std::array<CountColumn, 13> kCountColumns = {{{"total", &Counts::total},
                                                               {"stored", &Counts::stored},
                                                               {"warned", &Counts::warned},
                                                               {"failed", &Counts::failed},
                                                               {"skipped", &Counts::skipped},
                                                               {"conflicts", &Counts::conflicts},
                                                               {"retries", &Counts::retries},
                                                               {"resends", &Counts::resends},
                                                               {"total_bytes", &Counts::total_bytes},
                                                               {"stored_bytes", &Counts::stored_bytes},
                                                               {"settled_bytes", &Counts::settled_bytes},
                                                               {"store_us", &Counts::store_us},
                                                               {"associations", &Counts::associations}}};

// The columns, separated by commas, each as `format` makes it from the name.
template <class Format>
std::string ForEachCount(Format format) {
  std::string out;
  for (const auto& column : kCountColumns) out += (out.empty() ? "" : ", ") + format(std::string(column.name));
  return out;
}
std::string CountNames();

// SQL: the condition for studies that have unsettled instances.
inline constexpr const char* kUnsettledStudies = "total > stored + warned + failed + skipped";
// SQL: the condition for studies that may have an instance in one of the states; the others' need not be read.
std::string StudiesWith(std::span<const InstanceState> states);

void Add(Counts& counts, const Counts& delta);
// By how much a session's counts have grown since the transaction began: everything that is done counts there, and
// one UPDATE at the commit is enough.
struct SessionGrowth {
  Counts counts;
  std::uint64_t studies = 0;
};

// What is looked up once and kept in memory, at most of each.
inline constexpr std::size_t kCachedPairsMax = 10'000;
inline constexpr std::size_t kCachedStudySessionsMax = 10'000;
inline constexpr std::size_t kCachedWorkersMax = 10'000;

// What an instance is in the counts, added or taken away; or what several of one state are, by their sums.
void Contribute(Counts& counts, InstanceState state, std::uint64_t size, std::uint64_t duration_us, bool removes,
                std::uint64_t instances = 1);
// What a change adds to the counts and takes away from them, with its attempts and its resend.
void Contribute(Counts& counts, const InstanceChange& change);

// How a new instance begins, by its defect, or by the file that it is a copy of.
struct Beginning {
  InstanceState state = InstanceState::kPending;
  std::string reason;
};
struct Original {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;  // root and relative path joined
};
Beginning BeginningOf(const wire::Instance& instance, const std::optional<Original>& original);

// The reasons of copies, and of a file in whose place a copy is sent because it has failed.
std::string DuplicateReason(std::string_view original_path);
std::string ConflictReason(std::string_view original_path, std::string_view difference);
std::string ReplacedReason(std::string_view failure, std::string_view copy_path);
// Of an instance with the same SOP Instance UID: that it is the original of later copies. A copy of what could not be
// sent is not skipped: it may be the good one.
constexpr bool IsOriginal(InstanceState state) {
  return state != InstanceState::kSkipped && state != InstanceState::kConflict && state != InstanceState::kFailed;
}

// These are stored, so they stay as they are. Different ones may have the same number.
std::int64_t PathHash(std::string_view root, std::string_view path);
std::int64_t UidHash(std::string_view uid);
std::int64_t IndexerHash(std::string_view name);

std::int64_t Milliseconds(WallTime time);
WallTime FromMilliseconds(std::int64_t milliseconds);

}  // namespace dicom_sender
