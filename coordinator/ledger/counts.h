// What the stores share: the columns of Counts, and what an instance adds to them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

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

void Add(Counts& counts, const Counts& delta);

// By how much the counts of sessions have grown since the transaction began. Everything that is done counts there,
// and one UPDATE at the commit is enough.
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

// What is looked up once and kept in memory, at most of each.
inline constexpr std::size_t kCachedPairsMax = 10'000;
inline constexpr std::size_t kCachedStudySessionsMax = 10'000;
inline constexpr std::size_t kCachedWorkersMax = 10'000;

// What an instance is in the counts, added or taken away; or what several of one state are, by their sums.
void Contribute(Counts& counts, InstanceState state, std::uint64_t size, std::uint64_t duration_us, bool removes,
                std::uint64_t instances = 1);
// What a change adds to the counts and takes away from them, with its attempts and its resend.
void Contribute(Counts& counts, const InstanceChange& change);

std::int64_t Milliseconds(WallTime time);
WallTime FromMilliseconds(std::int64_t milliseconds);

}  // namespace dicom_sender
