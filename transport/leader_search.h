// Decides when a client of several coordinators moves to the next one in its search for the leader.
//
// One coordinator is the leader; the others are standbys and say so. At the current endpoint, four things may happen:
// the leader answers; a standby answers; the connection fails or is lost; or the connection stands and no answer
// comes. Pure: the owner of the connection reports what happened and when, and asks when to move. Rules, each with
// its reason:
// - After a standby's answer or without a connection, the search moves at once. But a round over all endpoints takes
// at
//   least kRoundAtLeast, to limit the load on a group without a leader, and up to kRoundAtMost, chosen at random, so
//   that hundreds of clients of one lost leader do not move in step.
// - The search gives up a connection that is not made within kConnectWithin, because a host that is gone does not
// refuse
//   it. The longer the search lasts, the longer it waits, up to kConnectWithinMax: the network may be slow, and a
//   handshake with keys takes four round trips. The wait is kSearchShare of the search's time, so that a new leader
//   is found late by at most this share; a connection to a standby does not shorten it.
// - The search gives up a connection without answers after kAnswerWithin, and after twice that time on each
// repetition
//   until a leader answers: the leader may be busy with this very request, and would never answer in time if the
//   client left each time before that. A stopped process or a lost host is detected sooner, by the connection.
// - With one endpoint, the search does not move, and the socket reconnects by itself. Only after a standby's answer
// is
//   it connected anew, because one name may stand for several coordinators.
//
// Not thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>

namespace dicom_sender {

class LeaderSearch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::milliseconds kRoundAtLeast{250}, kRoundAtMost{750};
  static constexpr std::chrono::seconds kConnectWithin{1}, kConnectWithinMax{10};
  static constexpr int kSearchShare = 4;  // the share is 1/4
  static constexpr std::chrono::seconds kAnswerWithin{5}, kAnswerWithinMax{60};

  // Give each search another `seed`, so that they differ.
  LeaderSearch(std::size_t endpoints, std::uint64_t seed, Time now)
      : endpoints_(endpoints), random_(seed), moved_at_(now) {
    BeginRound(now);
  }

  // --- events at the current endpoint
  void Connected() { connected_ = true; }
  void Lost(Time now);      // the connection was lost or could not be made
  void Asked(Time now);     // a message was sent that a leader answers
  void Answered(Time now);  // a leader answered
  void NotLeading(Time now);

  // --- decisions
  // When to move; Time::max() if no move is due without another event.
  Time move_at() const;
  void Moved(Time now);
  // Whether a standby has answered since the leader's last answer.
  bool saw_stand_by() const { return saw_stand_by_; }

 private:
  bool several() const { return endpoints_ > 1; }
  Time silent_until() const;
  void BeginRound(Time now);

  const std::size_t endpoints_;
  std::size_t left_ = 0;  // remaining endpoints of this round
  std::mt19937_64 random_;
  Time round_ends_, moved_at_;  // round_ends_ is the earliest end
  std::optional<Time> searches_since_;
  bool connected_ = false;
  std::optional<Time> turned_away_, asked_;  // asked_ is the time of the oldest unanswered message
  std::chrono::seconds answer_within_ = kAnswerWithin;
  bool saw_stand_by_ = false;
};

}  // namespace dicom_sender
