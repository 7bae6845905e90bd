// What all parts of one simulation share: time, chance, the network between the processes, and what really happened.
//
// The network may drop, repeat, reorder and delay any message between two processes that live. What is under way to a
// process dies with it, as with its connection; what was sent to a coordinator that is alone and down waits for its
// next life as long as the sender lives. Where there are several, what is under way to one of them is lost whenever
// it begins to lead or to stand by: it opens its port anew. Clocks run a little too fast or too slow, and no two
// begin at the same time (SimClock).
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

// Something that must hold does not.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How many times in a thousand.
using PerMille = std::uint32_t;

// What one seed is like. Each kind of fault is absent in about half of the seeds, so that rare ones are not drowned.
struct Plan {
  SchedulerOptions scheduler;
  unsigned coordinators = 1;
  Duration leader_timeout{};
  unsigned workers = 1;
  unsigned sessions = 1;
  unsigned indexers = 1;  // of a session
  unsigned destinations = 1;
  std::uint32_t capacity_max = 1;   // of a worker
  std::uint32_t attempts_max = 1;   // of an instance
  std::uint32_t backlog_max = 1;    // outcomes that a sender may have unacknowledged
  std::uint32_t studies_max = 1;    // of a session
  std::uint32_t instances_max = 1;  // of a study
  Duration retry_for{};
  bool sets_retry_for = true;  // false: the default of the scheduler's options, never shorter
  Duration resume_within{};    // of a session that has ended too early, by its client
  Duration connect_timeout{};
  Duration dimse_timeout{};
  Duration transit_max{};               // of an instance to the destination, and of the answer back
  std::int64_t clock_skew_ppm_max = 0;  // of two clocks against each other
  Duration faulty{};                    // faults stop then
  Duration settles_within{};            // afterwards

  PerMille drop = 0, repeat = 0, late = 0;  // of a message
  Duration late_max{};
  PerMille reject_transient = 0, reject_permanent = 0;   // of an association
  PerMille turned_away = 0, unauthorized = 0;            // of a study, for good; the first of a client is spared
  bool loses_studies = false;                            // one study's instances cost their associations, for good
  PerMille abort_before = 0, abort_after = 0, hang = 0;  // of a C-STORE, by when the destination has stored it
  PerMille out_of_resources = 0, cannot_understand = 0, warning = 0, not_authorized = 0;
  // Of a step of the coordinator. It is paused between the begin of its transaction and the commit, or after it.
  PerMille disk_full = 0, crash_before_replies = 0, pause_before_commit = 0, pause_before_replies = 0;

  PerMille hang_renewal = 0;  // of a leader's: the store gets it late, or its answer comes late

  // On average; 0: never.
  Duration kill_worker{}, stall_worker{}, drain_worker{}, kill_coordinator{}, kill_client{};
  Duration stall_coordinator{}, hand_over{}, cut_store{}, isolate_coordinator{}, store_away{};
  Duration cut_coordinator{}, cut_destination{}, destination_away{};
  Duration suspend{}, cancel{}, requeue{}, ask_to_drain{};  // by an operator

  // What is wrong with the first worker, for good; there is another one then.
  enum class BadWorker {
    kNone,
    kNoMount,    // its storage is away
    kOtherTree,  // it sees other files under the same names
    kNoRoute,    // it reaches no destination
    kUnwelcome   // all destinations reject it for good, its C-ECHO too
  } bad_worker = BadWorker::kNone;
  Duration storage_away{};  // for all workers, once; less than a session waits for it
};

// `one_coordinator`: whatever the seed says.
Plan DrawPlan(Random& random, bool one_coordinator);

inline const TimePoint kSimBegin{std::chrono::hours(1)};  // of every simulation
inline const std::string kSimRoot = "/data/";

// What the destination makes of a study, for good.
enum class StudyFate {
  kGood,
  kTurnedAway,     // its association is rejected, or aborted instead of an answer
  kLost,           // its associations are lost with its instances
  kNotAuthorized,  // its instances are answered 0124
};

// A file as the indexer finds it.
struct SimFile {
  unsigned session = 0;  // by number
  std::string study, path, sop_instance_uid;
  std::uint64_t size_bytes = 0;
  bool defect = false;      // known from the scan
  bool unsendable = false;  // found by the worker
};

// What became of one SOP instance at its destination and on the way there.
struct Sent {
  unsigned stored = 0;  // times
  bool answered_success = false, answered_warning = false;
  unsigned failed_tries = 0;  // that may be repeated: no answer, or out of resources
  bool failed_for_good = false;
};

class World {
 public:
  using Sink = std::function<void(const std::string& line)>;

  // `trace` takes a line for each event, if it is set.
  World(std::uint64_t seed, bool one_coordinator, Sink trace)
      : random(seed), plan(DrawPlan(random, one_coordinator)), trace_(std::move(trace)) {}

  EventQueue events{kSimBegin};
  Random random;
  const Plan plan;
  bool calm = false;  // no more faults, but those that are for good
  TimePoint calm_since{};
  std::unordered_map<std::string, SimFile> files;    // by path
  std::unordered_map<std::string, Sent> sent;        // by SOP Instance UID; no two sessions share one
  std::unordered_map<std::string, StudyFate> fates;  // by Study Instance UID
  bool storage_away = false;
  // Without these, the workers break the rules of fault attribution: to see that this is found.
  bool asks_by_echo = true, tells_unreadable = true;

  TimePoint now() const { return events.now(); }
  bool Fault(PerMille chance) { return !calm && chance > 0 && random.Chance(chance); }

  // --- links: who is cut off from whom, by the names of the two
  void Cut(const std::string& a, const std::string& b) { cuts_.insert(a + b); }
  void Mend(const std::string& a, const std::string& b) { cuts_.erase(a + b); }
  bool IsCut(const std::string& a, const std::string& b) const { return !cuts_.empty() && cuts_.contains(a + b); }
  void MendAll() { cuts_.clear(); }

  // Has the message delivered once, twice, late, or not at all.
  void Carry(const std::function<void()>& deliver) {
    if (Fault(plan.drop)) return;
    events.After(Transit(), deliver);
    if (Fault(plan.repeat)) events.After(Transit(), deliver);
  }

  // What an undisturbed message takes.
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
  // The first moment of the simulation at which this clock shows `local` or more; now, if it does already.
  TimePoint When(TimePoint local) const;

 private:
  const World& world_;
  std::int64_t skew_ppm_;  // it runs faster by it
  Duration offset_;
};

}  // namespace dicom_sender
