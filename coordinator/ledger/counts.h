// Code that the stores share: the columns of Counts, and what an instance contributes to them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// The columns of Counts in the tables study and session, and the member for each.
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

// Applies `format` to the name of each column, and joins the results with commas.
template <class Format>
std::string ForEachCount(Format format) {
  std::string out;
  for (const auto& column : kCountColumns) out += (out.empty() ? "" : ", ") + format(std::string(column.name));
  return out;
}
std::string CountNames();

void Add(Counts& counts, const Counts& delta);

// Collects by how much the counts of sessions have grown since the transaction began. Every change affects the counts
// of its session, and one UPDATE at the commit is enough for all of them.
class SessionGrowths {
 public:
  struct Growth {
    Counts counts;
    std::uint64_t studies = 0;
  };

  void Add(SessionKey session, const Counts& delta, std::uint64_t studies = 0);
  void AddTo(SessionRecord& record) const;
  const std::map<SessionKey, Growth>& all() const { return growths_; }
  void Clear() { growths_.clear(); }

 private:
  std::map<SessionKey, Growth> growths_;
};

// The most entries in each cache of looked-up rows.
inline constexpr std::size_t kCachedPairsMax = 10'000;
inline constexpr std::size_t kCachedStudySessionsMax = 10'000;
inline constexpr std::size_t kCachedWorkersMax = 10'000;

// Adds an instance in this state to the counts, or removes it; or several instances in the same state, with the sums
// of their sizes and durations.
void Contribute(Counts& counts, InstanceState state, std::uint64_t size, std::uint64_t duration_us, bool removes,
                std::uint64_t instances = 1);
// Applies a change to the counts, with its attempts and its resend.
void Contribute(Counts& counts, const InstanceChange& change);

std::int64_t Milliseconds(WallTime time);
WallTime FromMilliseconds(std::int64_t milliseconds);

}  // namespace dicom_sender
