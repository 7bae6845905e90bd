// What all parts of one simulation share: time, randomness, the network between the processes, and the actual events.
//
// The network may drop, repeat, reorder, and delay any message between two live processes. Messages to a process are
// lost when it ends, as its connection is. Messages to a single coordinator that is down wait for its next life as
// long as the sender lives. If there are several coordinators, messages to one of them are lost whenever it becomes
// leader or standby, because it then reopens its port. Clocks run slightly too fast or too slow and have different
// starts (SimClock).
#pragma once

#include <fmt/format.h>

#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/random.h"

namespace dicom_sender {

// An invariant that does not hold.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A probability in thousandths.
using PerMille = std::uint32_t;

// The parameters of one seed. Each kind of fault is absent in about half of the seeds, so that frequent faults do not
// hide rare ones.
struct Plan {
  SchedulerOptions scheduler;
  unsigned coordinators = 1;
  Duration leader_timeout{};
  unsigned workers = 1;
  unsigned sessions = 1;
  unsigned indexers = 1;  // per session
  unsigned destinations = 1;
  std::uint32_t capacity_max = 1;   // per worker
  std::uint32_t attempts_max = 1;   // per instance
  std::uint32_t backlog_max = 1;    // unacknowledged outcomes per sender
  std::uint32_t studies_max = 1;    // per session
  std::uint32_t instances_max = 1;  // per study
  Duration retry_for{};
  bool sets_retry_for = true;  // false: uses the default of the scheduler's options, which is never shorter
  Duration resume_within{};    // until the client resumes a session that has ended too early
  Duration connect_timeout{};
  Duration dimse_timeout{};
  Duration transit_max{};               // for an instance to the destination, and for the response
  std::int64_t clock_skew_ppm_max = 0;  // between two clocks
  Duration faulty{};                    // duration of the faults
  Duration settles_within{};            // time limit after the faults

  PerMille drop = 0, repeat = 0, late = 0;  // per message
  Duration late_max{};
  PerMille reject_transient = 0, reject_permanent = 0;  // per association
  PerMille turned_away = 0, unauthorized = 0;           // per study, permanent; the first study of a client is spared
  bool loses_studies = false;                           // one study always loses its associations
  PerMille abort_before = 0, abort_after = 0, hang = 0;  // per C-STORE, before or after the destination has stored it
  PerMille out_of_resources = 0, cannot_understand = 0, warning = 0, not_authorized = 0;
  // Per step of the coordinator. It is paused between the beginning of its transaction and the commit, or after the
  // commit.
  PerMille disk_full = 0, crash_before_replies = 0, pause_before_commit = 0, pause_before_replies = 0;

  PerMille hang_renewal = 0;  // per leader renewal: the request or the answer is late

  // Average intervals; 0: never.
  Duration kill_worker{}, stall_worker{}, drain_worker{}, kill_coordinator{}, kill_client{};
  Duration stall_coordinator{}, hand_over{}, cut_store{}, isolate_coordinator{}, store_away{};
  Duration cut_coordinator{}, cut_destination{}, destination_away{};
  Duration suspend{}, cancel{}, requeue{}, ask_to_drain{};  // by an operator

  // The permanent fault of the first worker. If it has one, there is at least one other worker.
  enum class BadWorker {
    kNone,
    kNoMount,    // it cannot reach its storage
    kOtherTree,  // it sees other files under the same paths
    kNoRoute,    // it cannot reach any destination
    kUnwelcome   // all destinations reject it permanently, including its C-ECHO
  } bad_worker = BadWorker::kNone;
  Duration storage_away{};  // for all workers, once; shorter than the session's retry time
};

// `one_coordinator` overrides the seed.
Plan DrawPlan(Random& random, bool one_coordinator);

inline const TimePoint kSimBegin{std::chrono::hours(1)};  // the start of every simulation
inline const std::string kSimRoot = "/data/";

// How the destination always treats a study.
enum class StudyFate {
  kGood,
  kTurnedAway,     // its associations are rejected or aborted
  kLost,           // its associations are lost with its instances
  kNotAuthorized,  // its instances are answered with 0124
};

// A file as the indexer finds it.
struct SimFile {
  unsigned session = 0;  // the session's number
  std::string study, path, sop_instance_uid;
  std::uint64_t size_bytes = 0;
  bool defect = false;      // found by the scan
  bool unsendable = false;  // found by the worker
};

// What happened to one SOP instance at its destination and on the way there.
struct Sent {
  unsigned stored = 0;  // number of times
  bool answered_success = false, answered_warning = false;
  unsigned failed_tries = 0;  // retryable failures: no response, or out of resources
  bool failed_for_good = false;
};

class World {
 public:
  using Sink = std::function<void(const std::string& line)>;

  // `trace` is called with a line for each event, unless it is empty.
  World(std::uint64_t seed, bool one_coordinator, Sink trace)
      : random(seed), plan(DrawPlan(random, one_coordinator)), trace_(std::move(trace)) {}

  EventQueue events{kSimBegin};
  Random random;
  const Plan plan;
  bool calm = false;  // no more faults, except permanent ones
  TimePoint calm_since{};
  std::unordered_map<std::string, SimFile> files;    // by path
  std::unordered_map<std::string, Sent> sent;        // by SOP Instance UID, which sessions do not share
  std::unordered_map<std::string, StudyFate> fates;  // by Study Instance UID
  bool storage_away = false;
  // If false, the workers break the rules of fault attribution; tests that this is detected.
  bool asks_by_echo = true, tells_unreadable = true;

  TimePoint now() const { return events.now(); }
  bool Fault(PerMille chance) { return !calm && chance > 0 && random.Chance(chance); }

  // --- links: which pairs of nodes are cut off from each other, by their names
  void Cut(const std::string& a, const std::string& b) { cuts_.insert(a + b); }
  void Mend(const std::string& a, const std::string& b) { cuts_.erase(a + b); }
  bool IsCut(const std::string& a, const std::string& b) const { return !cuts_.empty() && cuts_.contains(a + b); }
  void MendAll() { cuts_.clear(); }

  // Delivers the message once, twice, late, or not at all.
  void Carry(const std::function<void()>& deliver) {
    if (Fault(plan.drop)) return;
    events.After(Transit(), deliver);
    if (Fault(plan.repeat)) events.After(Transit(), deliver);
  }

  // The transit time of an undisturbed message.
  Duration Trip() {
    using std::chrono::microseconds;
    using std::chrono::milliseconds;
    return random.OneIn(8) ? random.Between(milliseconds(5), milliseconds(300))
                           : random.Between(microseconds(200), milliseconds(5));
  }

  bool tracing() const { return trace_ != nullptr; }
  template <class... Args>
  void Trace(fmt::format_string<Args...> format, Args&&... args) {
    if (!tracing()) return;
    trace_(fmt::format("{:10.4f}  {}", std::chrono::duration<double>(now() - kSimBegin).count(),
                       fmt::format(format, std::forward<Args>(args)...)));
  }

 private:
  Duration Transit() {
    return Fault(plan.late) ? random.Between(std::chrono::milliseconds(1), plan.late_max) : Trip();
  }

  const Sink trace_;
  std::set<std::string> cuts_;
};

// The monotonic clock of one machine.
class SimClock {
 public:
  explicit SimClock(World& world);

  TimePoint Now() const;
  // Returns the first simulated time at which this clock shows `local` or more; now, if it already does.
  TimePoint When(TimePoint local) const;

 private:
  const World& world_;
  std::int64_t skew_ppm_;  // how much faster it runs
  Duration offset_;
};

}  // namespace dicom_sender
