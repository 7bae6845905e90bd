// What must hold inside the scheduler after each step: everything that is counted or indexed for speed agrees with
// what it was derived from.
#include <map>
#include <set>
#include <stdexcept>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

void Require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

}  // namespace

class Scheduler::Invariants {
 public:
  explicit Invariants(const Scheduler& scheduler) : s_(scheduler) {}

  // In this order: each of these counts what the following ones compare.
  void Check() {
    CheckLeases();
    CheckStudies();
    CheckSessions();
    CheckWorkers();
    CheckDestinations();
    CheckEndpoints();
  }

 private:
  void CheckLeases() {
    std::size_t unheld = 0;
    for (const auto& [id, lease] : s_.leases_) {
      Require(id <= s_.last_lease_, "a lease has an id above the last one");
      Require(leased_studies_.insert(lease.study).second, "two leases of one study are in force");
      Require(s_.studies_.at(lease.study).place == Place::kLeased, "a lease is of a study that is not leased");
      Require(s_.workers_.at(lease.worker).leases.contains(id), "a lease is not among its worker's");
      Require(s_.lease_ends_.contains({lease.expires_at, id}), "a lease has no end");
      const bool is_resent = !lease.held && !lease.revoked;
      Require(s_.unheld_.contains({lease.grant_sent, id}) == is_resent,
              "the grants to repeat are not the unheld ones");
      unheld += is_resent;
      const SessionKey session = s_.studies_.at(lease.study).session;
      const std::string& destination = s_.sessions_.at(session).destination;
      ++leases_of_session_[session];
      ++leases_of_destination_[destination];
      served_of_destination_[destination] += lease.responded;
    }
    Require(s_.lease_ends_.size() == s_.leases_.size(), "an end belongs to no lease");
    Require(s_.unheld_.size() == unheld, "a grant to repeat belongs to no lease");
  }

  void CheckStudies() {
    for (const auto& [key, study] : s_.studies_) {
      const Session& session = s_.sessions_.at(study.session);
      ++studies_of_session_[study.session];
      untried_of_session_[study.session] += study.setbacks == 0;
      CheckPlace(key, study, s_.destinations_.at(session.destination).ready);
      Require(study.unreadable_by.empty() != s_.partly_read_.contains(key),
              "the partly read studies are not those that a worker cannot read");
      Require(study.place == Place::kLeased || study.unsettled > 0, "a settled study is still live");
      Require(study.place != Place::kWaiting || session.ending || !session.scan_complete,
              "a study waits for a scan that is complete");
    }
  }
  void CheckPlace(StudyKey key, const Study& study, const ReadyQueue& queue) {
    const bool is_leased = study.place == Place::kLeased;
    Require(is_leased == leased_studies_.contains(key), "a leased study has no lease");
    const bool is_queued = queue.Contains(GroupOf(study), PlaceInQueue(key, study));
    Require((study.place == Place::kReady) == is_queued, "the queued studies are not the ready ones");
    ready_ += is_queued;
    const bool has_deadline = s_.backing_off_.contains({study.since, key});
    Require((study.place == Place::kBackingOff) == has_deadline, "a study backs off without a deadline");
  }

  void CheckSessions() {
    for (const auto& [key, session] : s_.sessions_) {
      ++sessions_of_destination_[session.destination];
      Require(session.live_leases == leases_of_session_[key], "the leases of a session are miscounted");
      Require(session.live_studies == studies_of_session_[key], "the studies of a session are miscounted");
      Require(session.untried_studies == untried_of_session_[key], "the untried studies of a session are miscounted");
    }
  }

  void CheckWorkers() const {
    std::size_t leases = 0, idle = 0, free = 0;
    for (const auto& [name, worker] : s_.workers_) {
      const std::uint32_t places = FreePlaces(worker);
      Require(s_.free_workers_.contains({places, &name}) == (places > 0), "the order of the free workers is wrong");
      Require(s_.idle_workers_.contains({worker.last_seen, name}) == worker.leases.empty(),
              "the order of the idle workers is wrong");
      leases += worker.leases.size();
      free += places > 0;
      idle += worker.leases.empty();
    }
    Require(leases == s_.leases_.size(), "the leases of a worker are miscounted");
    Require(s_.free_workers_.size() == free && s_.idle_workers_.size() == idle, "a worker is listed that is gone");
  }

  void CheckDestinations() {
    std::size_t queued = 0;
    for (const auto& [name, destination] : s_.destinations_) {
      Require(destination.live_leases == leases_of_destination_[name], "the leases of a destination are miscounted");
      Require(destination.served_leases == served_of_destination_[name],
              "the served leases of a destination are miscounted");
      Require(destination.sessions == sessions_of_destination_[name], "the sessions of a destination are miscounted");
      const auto probe = destination.breaker.probe();
      Require(!probe || s_.leases_.contains(*probe), "a breaker waits for a probe that is over");
      leases_of_endpoint_[destination.endpoint] += destination.live_leases;
      ++destinations_of_endpoint_[destination.endpoint];
      for (const auto& [group, studies] : destination.ready.groups()) {
        Require(!studies.empty(), "a group of ready studies is empty");
      }
      queued += destination.ready.size();
      for (const StudyKey key : destination.set_back) {
        Require(s_.studies_.contains(key), "a study that is gone counts as set back");
      }
    }
    Require(queued == ready_, "a study is queued that is not ready");
  }

  void CheckEndpoints() {
    Require(s_.endpoints_.size() == destinations_of_endpoint_.size(), "an endpoint belongs to no destination");
    for (const auto& [name, endpoint] : s_.endpoints_) {
      Require(endpoint.live_leases == leases_of_endpoint_[name], "the leases of an endpoint are miscounted");
      Require(endpoint.destinations == destinations_of_endpoint_[name],
              "the destinations of an endpoint are miscounted");
    }
  }

  const Scheduler& s_;
  std::set<StudyKey> leased_studies_;
  std::map<SessionKey, std::uint64_t> leases_of_session_, studies_of_session_, untried_of_session_;
  std::map<std::string, std::uint32_t> leases_of_destination_, served_of_destination_, sessions_of_destination_;
  std::map<std::string, std::uint32_t> leases_of_endpoint_, destinations_of_endpoint_;
  std::size_t ready_ = 0;
};

void Scheduler::CheckInvariants() const { Invariants(*this).Check(); }

}  // namespace dicom_sender
