#include "transport/leader_search.h"

#include <algorithm>

namespace dicom_sender {

void LeaderSearch::BeginRound(Time now) {
  std::uniform_int_distribution<std::chrono::milliseconds::rep> length(kRoundAtLeast.count(), kRoundAtMost.count());
  left_ = 0;
  round_ends_ = now + std::chrono::milliseconds(length(random_));
}

void LeaderSearch::Lost(Time now) {
  connected_ = false;
  if (several() && !turned_away_) turned_away_ = now;
}

void LeaderSearch::Asked(Time now) {
  if (!asked_) asked_ = now;
}

void LeaderSearch::Answered(Time now) {
  asked_.reset();
  BeginRound(now);
  searches_since_.reset();
  answer_within_ = kAnswerWithin;
  saw_stand_by_ = false;
}

void LeaderSearch::NotLeading(Time now) {
  asked_.reset();
  saw_stand_by_ = true;
  if (!turned_away_) turned_away_ = now;
}

LeaderSearch::Time LeaderSearch::silent_until() const {
  if (!several()) return Time::max();
  if (!connected_) {
    const auto searched = searches_since_ ? moved_at_ - *searches_since_ : Time::duration(0);
    return moved_at_ + std::clamp<Time::duration>(searched / kSearchShare, kConnectWithin, kConnectWithinMax);
  }
  return asked_ ? *asked_ + answer_within_ : Time::max();
}

LeaderSearch::Time LeaderSearch::move_at() const {
  if (!turned_away_) return silent_until();
  if (left_ + 1 < endpoints_) return *turned_away_;
  return std::max(*turned_away_, round_ends_);
}

void LeaderSearch::Moved(Time now) {
  if (connected_ && !turned_away_) answer_within_ = std::min(2 * answer_within_, kAnswerWithinMax);
  if (++left_ >= endpoints_) BeginRound(now);
  if (!searches_since_) searches_since_ = now;
  moved_at_ = now;
  connected_ = false;
  turned_away_.reset();
  asked_.reset();
}

}  // namespace dicom_sender
