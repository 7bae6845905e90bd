#include "tests/sim/world.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;

constexpr std::int64_t kMillion = 1'000'000;

PerMille Sometimes(Random& random, PerMille max) { return random.OneIn(2) ? 0 : random.From(1, max); }

Duration EveryNowAndThen(Random& random, Duration ttl) {
  return random.OneIn(2) ? Duration(0) : random.Between(ttl / 4, ttl * 4);
}

}  // namespace

Plan DrawPlan(Random& random, bool one_coordinator) {
  Plan plan;
  const Duration ttl = seconds(random.From(15, 60));
  plan.scheduler = {
      .lease_ttl = ttl, .retry_backoff_max = seconds(30), .breaker_backoff_max = seconds(10), .seed = random.Next()};
  plan.coordinators = random.OneIn(2) ? 1 : random.From(2, 3);
  if (one_coordinator) plan.coordinators = 1;
  plan.leader_timeout = random.Between(seconds(1), seconds(10));
  plan.workers = random.From(1, 4);
  plan.sessions = random.OneIn(3) ? 2 : 1;
  plan.indexers = random.OneIn(3) ? 2 : 1;
  plan.destinations = plan.sessions == 2 && random.OneIn(2) ? 2 : 1;
  plan.capacity_max = random.From(1, 3);
  plan.attempts_max = random.From(2, 5);
  plan.backlog_max = random.From(1, 8);
  plan.studies_max = random.From(1, 5);
  plan.instances_max = random.OneIn(40) ? 300 : random.From(1, 12);
  plan.retry_for = seconds(random.From(20, 200));
  plan.resume_within = random.OneIn(2) ? plan.retry_for : Duration(seconds(1));
  plan.connect_timeout = ttl / 8;
  plan.dimse_timeout = ttl / 4;  // a lease without progress expires, so it must outlast the longest silent wait
  // A fast destination finishes before many faults can happen; a slow one with large studies never finishes.
  const bool fast = plan.instances_max > 100 || random.OneIn(3);
  plan.transit_max = fast ? Duration(std::chrono::milliseconds(80)) : plan.dimse_timeout / 3;
  plan.clock_skew_ppm_max = random.OneIn(2) ? 0 : random.From(1, 9000);  // the worker allows for 10,000
  plan.faulty = seconds(random.From(30, 400));
  // Allows for the last lost lease, the last backoff, and the last quarantine, several times each. If one worker has
  // to send all instances, they take additional time.
  const std::uint32_t instances = plan.sessions * plan.indexers * plan.studies_max * plan.instances_max;
  if (plan.workers > 1 && random.OneIn(3)) plan.bad_worker = static_cast<Plan::BadWorker>(random.From(1, 4));
  // Its reports are trusted at the end of the retry time if it is the only worker, so the others must be back by
  // then.
  const bool cannot_read =
      plan.bad_worker == Plan::BadWorker::kNoMount || plan.bad_worker == Plan::BadWorker::kOtherTree;
  if (cannot_read) plan.retry_for = ttl * 12;
  plan.sets_retry_for = plan.scheduler.seed % 3 != 0;
  plan.scheduler.retry_for_unanswered = plan.retry_for;
  plan.scheduler.retry_for_answered = plan.retry_for * 2;
  plan.turned_away = random.OneIn(3) ? random.From(100, 900) : 0;
  plan.unauthorized = random.OneIn(4) ? random.From(100, 500) : 0;
  plan.loses_studies = random.OneIn(6);
  if (random.OneIn(3)) plan.storage_away = random.Between(seconds(1), plan.retry_for / 2);
  plan.settles_within = ttl * 6 + plan.retry_for * (plan.sets_retry_for ? 3 : 5) + seconds(600) +
                        (plan.transit_max * 2 + seconds(1)) * instances;

  plan.drop = Sometimes(random, 300);
  plan.repeat = Sometimes(random, 300);
  plan.late = Sometimes(random, 100);
  plan.late_max = random.Between(seconds(1), ttl * 3);
  plan.reject_transient = Sometimes(random, 200);
  plan.reject_permanent = Sometimes(random, 10);
  plan.abort_before = Sometimes(random, 100);
  plan.abort_after = Sometimes(random, 100);
  plan.hang = Sometimes(random, 60);
  plan.out_of_resources = Sometimes(random, 200);
  plan.cannot_understand = Sometimes(random, 60);
  plan.warning = Sometimes(random, 300);
  plan.not_authorized = Sometimes(random, 5);
  plan.disk_full = Sometimes(random, 20);
  plan.crash_before_replies = Sometimes(random, 20);
  plan.pause_before_commit = Sometimes(random, 20);
  plan.pause_before_replies = Sometimes(random, 20);
  plan.hang_renewal = Sometimes(random, 100);

  for (Duration* every : {&plan.kill_worker, &plan.stall_worker, &plan.drain_worker, &plan.kill_coordinator,
                          &plan.stall_coordinator, &plan.hand_over, &plan.cut_store, &plan.isolate_coordinator,
                          &plan.store_away, &plan.kill_client, &plan.cut_coordinator, &plan.cut_destination,
                          &plan.destination_away, &plan.suspend, &plan.cancel, &plan.requeue, &plan.ask_to_drain}) {
    *every = EveryNowAndThen(random, ttl);
  }
  return plan;
}

SimClock::SimClock(World& world) : world_(world), offset_(world.random.Between({}, std::chrono::hours(1))) {
  const std::int64_t max = world.plan.clock_skew_ppm_max / 2;
  skew_ppm_ = static_cast<std::int64_t>(world.random.Below(static_cast<std::uint64_t>(2 * max + 1))) - max;
}

TimePoint SimClock::Now() const {
  const auto elapsed = world_.now().time_since_epoch().count();
  return TimePoint(Duration(elapsed + elapsed / kMillion * skew_ppm_) + offset_);
}

TimePoint SimClock::When(TimePoint local) const {
  const Duration left = local - Now();
  if (left <= Duration(0)) return world_.now();
  // A busy machine reads its clock a little late.
  return world_.now() + left - Duration(left.count() / kMillion * skew_ppm_) + left / 10'000 + Duration(1);
}

}  // namespace dicom_sender
