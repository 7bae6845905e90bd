// When whoever speaks to one of several coordinators goes on to the next one of them.
//
// One coordinator leads, the others stand by and say so. At the current endpoint, four things may happen: it leads
// and answers; it says that it does not lead; there is no connection, or it is lost; there is one, and nobody
// answers. Pure: whoever has the connection says what happened and when, and asks when to move. Rules, each with its
// reason:
// - Turned away, or without a connection, it moves at once; but a round over all endpoints takes kRoundAtLeast, so
//   that a group without a leader is not hammered, and up to kRoundAtMost, drawn each time, so that hundreds that
//   have lost one leader do not ask in step.
// - A connection that is not made within kConnectWithin is given up: a host that is gone refuses nothing. The longer
//   a search has found no leader, the longer it waits, up to kConnectWithinMax: the way to one may be slow, and four
//   times there and back is what a handshake with keys takes. It is kSearchShare of that time, so that a leader that
//   comes late is found late by no more than this share; and no connection to another one makes it shorter.
// - A connection on which nobody answers is given up after kAnswerWithin, and after twice as long each time until a
//   leader has answered: the leader may be busy with the very request, and would never be heard if it were left
//   again and again before it is done. That a process is stopped or a host gone is found sooner, by the connection.
// - With one endpoint there is nowhere to go, and the connection is made again by the socket itself; only where it
//   says that it does not lead is it connected anew, for there may be several behind one name.
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
  static constexpr int kSearchShare = 4;  // one in so many
  static constexpr std::chrono::seconds kAnswerWithin{5}, kAnswerWithinMax{60};

  // `seed`: another one for each search, so that they differ.
  LeaderSearch(std::size_t endpoints, std::uint64_t seed, Time now)
      : endpoints_(endpoints), random_(seed), moved_at_(now) {
    BeginRound(now);
  }

  // --- what happened at the current endpoint
  void Connected() { connected_ = true; }
  void Lost(Time now);      // the connection, or the attempt to make one
  void Asked(Time now);     // something was sent to which a leader has an answer
  void Answered(Time now);  // by a leader
  void NotLeading(Time now);

  // --- what follows
  // To move at this time; Time::max(): not, unless something happens.
  Time move_at() const;
  void Moved(Time now);
  // Whether somebody has said since the last leader's answer that he does not lead.
  bool saw_stand_by() const { return saw_stand_by_; }

 private:
  bool several() const { return endpoints_ > 1; }
  Time silent_until() const;
  void BeginRound(Time now);

  const std::size_t endpoints_;
  std::size_t left_ = 0;  // endpoints in this round
  std::mt19937_64 random_;
  Time round_ends_, moved_at_;  // round_ends_: at the earliest
  std::optional<Time> searches_since_;
  bool connected_ = false;
  std::optional<Time> turned_away_, asked_;  // asked: first of what is not answered
  std::chrono::seconds answer_within_ = kAnswerWithin;
  bool saw_stand_by_ = false;
};

}  // namespace dicom_sender
