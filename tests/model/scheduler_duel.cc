#include "tests/model/scheduler_duel.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <vector>

#include "tests/model/naive_scheduler.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kSessions = 3, kStudies = 4, kWorkers = 3;
constexpr std::uint64_t kLives = 4;       // number of lives of a worker that are compared
constexpr std::size_t kInstancesMax = 8;  // per study

constexpr std::uint32_t kStatuses[] = {0x0000, 0x0000, 0xB000, 0xA700, 0xA701, 0x0110, 0xC000, 0x0124, 0xA900};

// --- text

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string Show(const InstanceChange& change) {
  return fmt::format("{}/{} state={} attempts={} status={} reason={} us={}{}{}", change.study, change.index,
                     static_cast<int>(change.state), change.attempts, change.status ? *change.status : -1,
                     change.reason, change.duration_us, change.resend ? " resend" : "",
                     change.may_be_stored ? " may_be_stored" : "");
}
std::string Show(const LeaseGranted& change) {
  return fmt::format("study {}: lease {} to {} of {}", change.study, change.lease, change.worker,
                     change.worker_capacity);
}
std::string Show(const LeaseEnded& change) {
  return fmt::format("study {}: lease ended{}", change.study, change.clean ? "" : " uncleanly");
}
std::string Show(const StudyFailed& change) {
  return fmt::format("study {} failed: {}", change.study, change.reason);
}
std::string Show(const SessionChanged& change) {
  return fmt::format("session {}: {} {}", change.session, wire::SessionState_Name(change.state), change.reason);
}
std::string Show(const GrantReply& reply) {
  return fmt::format("tell {}: lease {}, study {} of session {}", reply.worker, reply.lease, reply.study,
                     reply.session);
}
std::string Show(const StatusReply& reply) {
  return fmt::format("tell {}: renewed={} revoked={}{}", reply.worker, reply.renewed, reply.revoked,
                     reply.drain ? " drain" : "");
}

std::string Show(const Output& output) {
  std::string text;
  for (const LedgerChange& change : output.changes) {
    text += "  " + std::visit([](const auto& c) { return Show(c); }, change) + "\n";
  }
  for (const Reply& reply : output.replies) {
    text += "  " + std::visit([](const auto& r) { return Show(r); }, reply) + "\n";
  }
  for (const Duration wait : output.queue_waits) text += fmt::format("  had waited {} s\n", Seconds(wait));
  return text;
}

std::string Show(const WorkerView& view) {
  std::string quarantined;
  for (const QuarantineView& what : view.quarantined) quarantined += " quarantined: " + what.reason;
  return fmt::format("{} capacity={} leases={}{} seen {}{}", view.worker, view.capacity, view.leases,
                     view.draining ? " draining" : "", Seconds(view.last_seen), quarantined);
}
std::string Show(const DestinationView& view) {
  return fmt::format("{} leases={} ready={} limit={}{} {}", view.destination, view.leases, view.ready,
                     view.limit ? std::to_string(*view.limit) : "none", view.breaker_open ? " open" : "",
                     view.trouble);
}
std::string Show(const SchedulerStats& stats) {
  return fmt::format("pending={} delayed={} leased={} done={} expired={} late={} workers={} breakers={}",
                     stats.studies_pending, stats.studies_delayed, stats.studies_leased, stats.studies_done,
                     stats.leases_expired, stats.late_outcomes, stats.workers_connected, stats.breakers_open);
}

// Compares everything that can be queried.
template <class AnyScheduler>
std::string ShowState(const AnyScheduler& scheduler, LeaseId last_lease, TimePoint now) {
  std::string text = "  " + Show(scheduler.Stats()) + "\n";
  for (const WorkerView& view : scheduler.Workers(now)) text += "  " + Show(view) + "\n";
  for (const DestinationView& view : scheduler.Destinations(now)) text += "  " + Show(view) + "\n";
  for (SessionKey key = 1; key <= SessionKey{kSessions}; ++key) {
    text += fmt::format("  session {}: leases={}{} {}\n", key, scheduler.LiveLeases(key),
                        scheduler.IsEnding(key) ? " ending" : "", scheduler.Trouble(key, now));
  }
  for (LeaseId lease = 1; lease <= last_lease; ++lease) {
    if (const auto study = scheduler.StudyOf(lease)) text += fmt::format("  lease {}: study {}\n", lease, *study);
  }
  for (std::uint64_t i = 0; i < kWorkers; ++i) {
    const std::string worker = fmt::format("w{}", i);
    text += fmt::format("  {} of {} {}:", worker, scheduler.worker_count(), scheduler.Knows(worker));
    for (std::uint64_t life = 0; life < kLives; ++life) text += scheduler.IsSuperseded(worker, life) ? " old" : " -";
    text += "\n";
  }
  return text;
}

std::string Show(const Event& event) {
  struct Words {
    std::string operator()(const SessionOpened& e) const {
      return fmt::format("open {} at {}{} attempts={} retry_for={}", e.session, e.destination,
                         e.dispatch_as_found ? " as found" : "", e.attempts_max,
                         e.retry_for ? std::to_string(Seconds(*e.retry_for)) : "default");
    }
    std::string operator()(const StudiesFed& e) const {
      std::string text = fmt::format("feed to {}", e.session);
      for (const StudyFeed& feed : e.studies) {
        text += fmt::format(", {}: {} of {} bytes", feed.study, feed.pending, feed.pending_bytes);
      }
      return text;
    }
    std::string operator()(const LeaseRestored& e) const {
      return fmt::format("restore lease {} of {} to {}", e.lease, e.study, e.worker);
    }
    std::string operator()(const ScanCompleted& e) const { return fmt::format("scan of {} complete", e.session); }
    std::string operator()(const ScanBegun& e) const { return fmt::format("scan of {} begins", e.session); }
    std::string operator()(const SuspendRequested& e) const { return fmt::format("suspend {}", e.session); }
    std::string operator()(const ContinueRequested& e) const { return fmt::format("continue {}", e.session); }
    std::string operator()(const CancelRequested& e) const { return fmt::format("cancel {}", e.session); }
    std::string operator()(const WorkerSeen& e) const {
      std::string held;
      for (const auto& lease : e.held) held += fmt::format(" {}{}", lease.lease, lease.progressed ? "" : "(stuck)");
      return fmt::format("{} life {} seq {} capacity {}{} holds{}", e.worker, e.incarnation, e.seq, e.capacity,
                         e.draining            ? " draining"
                         : e.not_ready.empty() ? ""
                                               : " not ready",
                         held);
    }
    std::string operator()(const DrainRequested& e) const { return "drain " + e.worker; }
    std::string operator()(const Reported& e) const {
      std::string text = fmt::format("report of lease {}, study {}:", e.lease, e.study);
      for (const auto& [outcome, facts] : e.outcomes) {
        text += fmt::format(" {}:{}/{:04X}", facts.index, static_cast<int>(outcome.kind()), outcome.status());
      }
      if (!e.give_back) return text;
      return text + " back " + wire::GiveBack::Reason_Name(e.give_back->reason()) +
             (e.give_back->echo_answered() ? ", C-ECHO answered" : "");
    }
    std::string operator()(const Tick&) const { return "tick"; }
  };
  return std::visit(Words(), event);
}

// --- comparison without text, which is faster

auto Tie(const InstanceChange& c) {
  return std::tie(c.study, c.index, c.state, c.attempts, c.status, c.reason, c.duration_us, c.resend, c.may_be_stored,
                  c.before);
}
auto Tie(const LeaseGranted& c) { return std::tie(c.study, c.lease, c.worker, c.worker_capacity); }
auto Tie(const LeaseEnded& c) { return std::tie(c.study, c.clean, c.revoked); }
auto Tie(const StudyFailed& c) { return std::tie(c.study, c.reason); }
auto Tie(const SessionChanged& c) { return std::tie(c.session, c.state, c.reason); }
auto Tie(const GrantReply& r) { return std::tie(r.worker, r.lease, r.study, r.session); }
auto Tie(const StatusReply& r) { return std::tie(r.worker, r.renewed, r.revoked, r.drain); }
auto Tie(const WorkerView& v) {
  return std::tie(v.worker, v.capacity, v.leases, v.draining, v.not_ready, v.last_seen, v.quarantined);
}
auto Tie(const DestinationView& v) {
  return std::tie(v.destination, v.leases, v.ready, v.limit, v.breaker_open, v.trouble);
}
auto Tie(const SchedulerStats& s) {
  return std::tie(s.studies_pending, s.studies_delayed, s.studies_leased, s.studies_done, s.leases_expired,
                  s.late_outcomes, s.workers_connected, s.breakers_open, s.workers_quarantined);
}

template <class View>
bool Same(const View& a, const View& b) {
  return Tie(a) == Tie(b);
}
template <class... Kinds>
bool Same(const std::variant<Kinds...>& a, const std::variant<Kinds...>& b) {
  if (a.index() != b.index()) return false;
  return std::visit([&b](const auto& kind) { return Same(kind, std::get<std::decay_t<decltype(kind)>>(b)); }, a);
}
template <class Item>
bool Same(const std::vector<Item>& a, const std::vector<Item>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Item& x, const Item& y) { return Same(x, y); });
}

// Sorts everything whose order does not matter.
Output Ordered(Output output) {
  struct Place {
    using Key = std::pair<int, std::int64_t>;
    Key operator()(const InstanceChange&) const { return {0, 0}; }
    Key operator()(const LeaseGranted& change) const { return {1, change.study}; }
    Key operator()(const LeaseEnded& change) const { return {1, change.study}; }
    Key operator()(const StudyFailed& change) const { return {1, change.study}; }
    Key operator()(const SessionChanged& change) const { return {2, change.session}; }
  };
  std::stable_sort(output.changes.begin(), output.changes.end(), [](const LedgerChange& a, const LedgerChange& b) {
    return std::visit(Place(), a) < std::visit(Place(), b);
  });
  struct Turn {  // the acknowledgements to a worker stay in their order
    using Key = std::tuple<const std::string&, int, LeaseId>;
    Key operator()(const StatusReply& reply) const { return {reply.worker, 0, 0}; }
    Key operator()(const GrantReply& reply) const { return {reply.worker, 1, reply.lease}; }
  };
  std::stable_sort(output.replies.begin(), output.replies.end(),
                   [](const Reply& a, const Reply& b) { return std::visit(Turn(), a) < std::visit(Turn(), b); });
  std::sort(output.queue_waits.begin(), output.queue_waits.end());
  return output;
}

bool SaysTheSame(const Output& a, const Output& b) {
  return Same(a.changes, b.changes) && Same(a.replies, b.replies) && a.queue_waits == b.queue_waits;
}

bool KnowsTheSame(const Scheduler& a, const NaiveScheduler& b, LeaseId last_lease, TimePoint now) {
  bool same = Same(a.Stats(), b.Stats()) && Same(a.Workers(now), b.Workers(now)) &&
              Same(a.Destinations(now), b.Destinations(now)) && a.worker_count() == b.worker_count();
  for (SessionKey key = 1; key <= SessionKey{kSessions}; ++key) {
    same &= a.LiveLeases(key) == b.LiveLeases(key) && a.IsEnding(key) == b.IsEnding(key) &&
            a.Trouble(key, now) == b.Trouble(key, now);
  }
  for (LeaseId lease = 1; lease <= last_lease; ++lease) same &= a.StudyOf(lease) == b.StudyOf(lease);
  for (std::uint64_t i = 0; i < kWorkers; ++i) {
    const std::string worker = fmt::format("w{}", i);
    same &= a.Knows(worker) == b.Knows(worker);
    for (std::uint64_t life = 0; life < kLives; ++life) {
      same &= a.IsSuperseded(worker, life) == b.IsSuperseded(worker, life);
    }
  }
  return same;
}

// --- the duel

class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  std::uint8_t Next() {
    if (left_.empty()) return 0;
    const std::uint8_t byte = left_.front();
    left_ = left_.subspan(1);
    return byte;
  }
  std::uint32_t Below(std::uint32_t end) { return Next() % end; }
  bool OneIn(std::uint32_t n) { return Below(n) == 1; }

 private:
  std::span<const std::uint8_t> left_;
};

// Surrounds the two schedulers with as much of a ledger and of workers as is needed to create only possible events.
class Duel {
 public:
  // Events are written to `log` unless it is null.
  Duel(std::span<const std::uint8_t> bytes, std::string* log)
      : log_(log),
        bytes_(bytes),
        options_{.lease_ttl = seconds(30),
                 .associations_max = bytes_.Below(4),
                 .retry_for_unanswered = seconds(40),
                 .retry_for_answered = seconds(120),
                 .workers_may_come = bytes_.OneIn(2),
                 .seed = bytes_.Next()},
        real_(options_, 0),
        naive_(options_, 0) {}

  void Run() {
    while (!bytes_.empty() && events_ < kDuelEventsMax) Next();
  }

 private:
  struct Session {
    SessionOpened settings;
    wire::SessionState state = wire::SESSION_SCANNING;
    bool open = false;  // the coordinator has opened it
    bool scan_complete = false;
  };
  struct Study {
    SessionKey session = 0;
    std::uint64_t bytes_each = 0;
    std::vector<InstanceFacts> instances;
    LeaseId lease = 0;  // in force
    std::string worker;
    std::uint32_t suspect_end = 0;
  };

  void Next() {
    const std::uint8_t what = bytes_.Next();
    constexpr Duration kPauses[] = {Duration(0), Duration(0), milliseconds(1), milliseconds(700)};
    now_ += kPauses[what >> 6];
    switch (what % 24) {
      case 0:
      case 1:
        return OpenSession(AnySession());
      case 2:
      case 3:
        return FeedStudy(AnySession());
      case 4:
      case 5:
        return CompleteScan(AnySession());
      case 6:
        return bytes_.OneIn(2) ? BeginScan(AnySession()) : Requeue(AnySession());
      case 7:
        if (!bytes_.OneIn(4)) return Step(Tick{});
        return bytes_.OneIn(3) ? Step(ContinueRequested{AnySession()}) : Step(SuspendRequested{AnySession()});
      case 8:
        return bytes_.OneIn(4) ? Cancel(AnySession()) : Step(Tick{});
      case 9:
        return bytes_.OneIn(3) ? Step(DrainRequested{AnyWorker()}) : Step(Tick{});
      case 10:
        return bytes_.OneIn(6) ? Restart() : Step(Tick{});
      case 11:
      case 12:
      case 13:
        return PassTime();
      case 14:
        return LieAboutWorker();
      case 15:
      case 16:
      case 17:
      case 18:
        return SeeWorker();
      default:
        return Report();
    }
  }

  // --- single events

  void Step(const Event& event) {
    ++events_;
    Note([&] { return fmt::format("{:.4f} {}\n", Seconds(now_.time_since_epoch()), Show(event)); });
    const Output output = Ordered(real_.Step(event, now_));
    Note([&] { return Show(output); });
    real_.CheckInvariants();
    const Output expected = Ordered(naive_.Step(event, now_, real_));
    if (!SaysTheSame(output, expected)) throw std::logic_error("expected:\n" + Show(expected));
    for (const LedgerChange& change : output.changes) std::visit([this](const auto& c) { Apply(c); }, change);
    if (!KnowsTheSame(real_, naive_, last_lease_, now_)) {
      throw std::logic_error("it knows:\n" + ShowState(real_, last_lease_, now_) + "expected:\n" +
                             ShowState(naive_, last_lease_, now_));
    }
    CheckWakeUp(output.wake_at, expected.wake_at);
  }

  template <class Words>
  void Note(Words words) {
    if (log_) *log_ += words();
  }

  void CheckWakeUp(std::optional<TimePoint> real, std::optional<TimePoint> expected) {
    if (real && *real <= now_) throw std::logic_error("it asks to be woken in the past");
    if (expected && (!real || *real > *expected)) {
      throw std::logic_error(fmt::format("it must be woken at {}, and asks for {}",
                                         Seconds(expected->time_since_epoch()),
                                         real ? Seconds(real->time_since_epoch()) : 0));
    }
    wake_at_ = expected;
  }

  void Apply(const InstanceChange& change) {
    InstanceFacts& facts = studies_.at(change.study).instances.at(change.index);
    facts.state = change.state;
    facts.attempts = change.attempts;
    facts.may_be_stored = change.may_be_stored;
  }
  void Apply(const LeaseGranted& change) {
    Study& study = studies_.at(change.study);
    if (study.lease != 0) throw std::logic_error("a second lease of a study");
    if (leases_.contains(change.lease)) throw std::logic_error("a lease id is used again");
    last_lease_ = std::max(last_lease_, change.lease);
    study.lease = change.lease;
    study.worker = change.worker;
    leases_[change.lease] = change.study;
  }
  void Apply(const LeaseEnded& change) {
    Study& study = studies_.at(change.study);
    if (study.lease == 0) throw std::logic_error("a lease ends that there is not");
    study.lease = 0;
    if (!change.clean) study.suspect_end = static_cast<std::uint32_t>(study.instances.size());
  }
  void Apply(const StudyFailed& change) {
    for (InstanceFacts& facts : studies_.at(change.study).instances) {
      if (!IsSettled(facts.state)) facts.state = InstanceState::kFailed;
    }
  }
  void Apply(const SessionChanged& change) {
    Session& session = sessions_.at(change.session);
    session.state = change.state;
    if (IsOngoing(change.state)) return;
    session.open = false;
    for (auto& [key, study] : studies_) {
      if (study.session != change.session) continue;
      if (study.lease != 0) throw std::logic_error("a session ends while a study of it is leased");
    }
  }

  static bool IsOngoing(wire::SessionState state) {
    return state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING;
  }

  // --- sessions, as the service handles them

  static std::optional<Duration> RetryFor(std::uint64_t what) {
    if (what == 7) return std::nullopt;
    return seconds(20 * what);
  }

  SessionKey AnySession() { return 1 + SessionKey{bytes_.Below(kSessions)}; }

  void OpenSession(SessionKey key) {
    const auto [it, is_new] = sessions_.try_emplace(key);
    Session& session = it->second;
    if (session.open) return Step(session.settings);  // a repeated request
    if (is_new) {
      session.settings = {.session = key,
                          .destination = bytes_.OneIn(3) ? "B" : "A",
                          .endpoint = bytes_.OneIn(3) ? "one" : "",
                          .calling_ae = bytes_.OneIn(4) ? "OTHER" : "US",
                          .dispatch_as_found = bytes_.OneIn(2),
                          .attempts_max = bytes_.Below(4),
                          .retry_for = RetryFor(bytes_.Below(8))};
    }
    Reopen(key);
  }

  void Reopen(SessionKey key) {
    Session& session = sessions_.at(key);
    session.open = true;
    session.state = session.scan_complete ? wire::SESSION_SENDING : wire::SESSION_SCANNING;
    session.settings.stored_before = bytes_.OneIn(3);
    Step(session.settings);
    for (const auto& [study_key, study] : std::map(studies_)) {
      if (study.session != key || study.lease == 0) continue;
      Step(LeaseRestored{.session = key, .study = study_key, .lease = study.lease, .worker = study.worker});
    }
    for (const auto& [study_key, study] : std::map(studies_)) {
      if (study.session == key) Feed(study_key, Unsettled(study));
    }
    if (session.scan_complete) Step(ScanCompleted{key});
  }

  void Feed(StudyKey key, std::uint32_t pending) {
    const Study& study = studies_.at(key);
    if (pending == 0) return;
    Step(
        StudiesFed{study.session, {{.study = key, .pending = pending, .pending_bytes = pending * study.bytes_each}}});
  }

  static std::uint32_t Unsettled(const Study& study) {
    return static_cast<std::uint32_t>(std::count_if(study.instances.begin(), study.instances.end(),
                                                    [](const auto& facts) { return !IsSettled(facts.state); }));
  }

  void FeedStudy(SessionKey key) {
    const auto session = sessions_.find(key);
    const StudyKey study_key = key * 10 + StudyKey{bytes_.Below(kStudies)};
    const std::uint32_t pending = 1 + bytes_.Below(3);
    if (session == sessions_.end()) {
      return Step(StudiesFed{key, {{.study = study_key, .pending = pending}}});
    }
    if (!session->second.open && session->second.state != wire::SESSION_SUSPENDED) return;
    const auto [it, is_new] = studies_.try_emplace(study_key);
    Study& study = it->second;
    if (is_new) study.bytes_each = std::uint64_t{100} * (1 + bytes_.Below(3));
    study.session = key;
    if (study.instances.size() + pending > kInstancesMax) return;
    for (std::uint32_t i = 0; i < pending; ++i) {
      study.instances.push_back({.index = static_cast<std::uint32_t>(study.instances.size())});
    }
    Feed(study_key, pending);
  }

  void CompleteScan(SessionKey key) {
    if (const auto session = sessions_.find(key); session != sessions_.end()) session->second.scan_complete = true;
    Step(ScanCompleted{key});
  }

  void BeginScan(SessionKey key) {
    const auto session = sessions_.find(key);
    if (session != sessions_.end()) {
      if (EndsBadly(session->second.state)) return;
      session->second.scan_complete = false;
      if (session->second.state == wire::SESSION_COMPLETE) Reopen(key);
    }
    Step(ScanBegun{key});
  }

  void Cancel(SessionKey key) {
    const auto session = sessions_.find(key);
    if (session != sessions_.end() && !session->second.open) return;
    Step(CancelRequested{.session = key, .reason = "cancelled"});
  }

  // Requeues failed instances. Counts them by study.
  std::map<StudyKey, std::uint32_t> QueueFailed(SessionKey key) {
    std::map<StudyKey, std::uint32_t> queued;
    for (auto& [study_key, study] : studies_) {
      if (study.session != key) continue;
      for (InstanceFacts& facts : study.instances) {
        if (facts.state != InstanceState::kFailed) continue;
        facts.state = InstanceState::kPending;
        facts.attempts = 0;
        ++queued[study_key];
      }
    }
    return queued;
  }

  void Requeue(SessionKey key) {
    const auto session = sessions_.find(key);
    if (session == sessions_.end()) return;
    const auto queued = QueueFailed(key);
    if (!session->second.open && !queued.empty() && session->second.state != wire::SESSION_SUSPENDED) {
      return Reopen(key);
    }
    for (const auto& [study, pending] : queued) Feed(study, pending);
  }

  // Starts as a new coordinator does; its sessions are opened one by one.
  void Restart() {
    Note([] { return std::string("restart\n"); });
    real_ = Scheduler(options_, last_lease_);
    naive_ = NaiveScheduler(options_, last_lease_);
    for (auto& [key, session] : sessions_) session.open = false;
    // A session without retry time could end in the step that opens it, before its leases are restored, if the
    // destination was found to be unreachable in the meantime. The service opens all sessions before that can happen.
    for (auto& [key, session] : sessions_) {
      if (session.settings.retry_for == Duration(0) && IsOngoing(session.state)) Reopen(key);
    }
  }

  // --- workers

  std::string AnyWorker() { return fmt::format("w{}", bytes_.Below(kWorkers)); }

  // Builds the status that a worker would send: it lists exactly its leases, except for messages in transit.
  void SeeWorker() {
    const std::string name = AnyWorker();
    WorkerSeen& status = workers_[name];
    const std::uint8_t flags = bytes_.Next();
    const std::uint8_t listed = static_cast<std::uint8_t>(bytes_.Next() | bytes_.Next());
    const std::uint8_t progressed = static_cast<std::uint8_t>(bytes_.Next() | bytes_.Next());
    const bool starts = status.incarnation == 0 || flags % 16 == 1;
    status.worker = name;
    status.incarnation += starts;
    status.seq = starts ? 1 : status.seq + 1;
    status.capacity = flags >> 5 & 3;
    status.draining = flags >> 4 & 1 && flags >> 3 & 1;
    status.not_ready = (flags & 7) == 5 ? "no mount" : "";
    status.held.clear();
    unsigned position = 0;
    for (const auto& [key, study] : studies_) {
      if (starts || study.lease == 0 || study.worker != name) continue;
      if (listed >> position & 1) status.held.push_back({study.lease, (progressed >> position & 1) != 0});
      position = (position + 1) % 8;
    }
    Step(status);
  }

  // Builds a status that was overtaken, is repeated, or lists leases of others.
  void LieAboutWorker() {
    WorkerSeen status = workers_[AnyWorker()];
    if (status.incarnation == 0) return;
    const std::uint8_t flags = bytes_.Next();
    if (flags & 1) status.seq -= std::min<std::uint64_t>(status.seq, flags >> 4);
    if (flags & 2) --status.incarnation;
    if (flags & 4) status.held.push_back({1 + bytes_.Below(static_cast<std::uint32_t>(last_lease_ % 200) + 2), true});
    Step(status);
  }

  void Report() {
    if (leases_.empty()) return;
    const LeaseId lease = AnyLease();
    const StudyKey key = leases_.at(lease);
    const Study& study = studies_.at(key);
    Reported report{.lease = lease,
                    .study = key,
                    .suspect_end = study.suspect_end,
                    .associations = bytes_.Below(3),
                    .outcomes = {},
                    .give_back = {}};
    const std::uint8_t which = bytes_.Next();
    const std::uint8_t how = bytes_.Next();
    for (const InstanceFacts& facts : study.instances) {
      if (which >> (facts.index % 8) & 1) report.outcomes.push_back({AnyOutcome(facts.index, how), facts});
    }
    if (const std::uint32_t back = bytes_.Below(10); back >= 4) {
      constexpr wire::GiveBack::Reason kReasons[] = {wire::GiveBack::DONE, wire::GiveBack::DESTINATION_TRANSIENT,
                                                     wire::GiveBack::DESTINATION_BUSY,
                                                     wire::GiveBack::DESTINATION_REJECTED, wire::GiveBack::DRAINING};
      report.give_back.emplace().set_reason(bytes_.OneIn(8) ? wire::GiveBack::DESTINATION_REFUSED
                                                            : kReasons[back % std::size(kReasons)]);
      report.give_back->set_echo_answered(bytes_.OneIn(2));
      report.give_back->set_detail(fmt::format("trouble {}", bytes_.Below(3)));
    }
    Step(report);
  }

  // Prefers a lease in force, if there is one.
  LeaseId AnyLease() {
    std::vector<LeaseId> choice;
    if (bytes_.Below(5) > 0) {
      for (const auto& [key, study] : studies_) {
        if (study.lease != 0) choice.push_back(study.lease);
      }
    }
    if (choice.empty()) {
      for (const auto& [lease, study] : leases_) choice.push_back(lease);
    }
    return choice[bytes_.Below(static_cast<std::uint32_t>(choice.size()))];
  }

  // `how`: most instances of a report have the same outcome.
  wire::Outcome AnyOutcome(std::uint32_t index, std::uint8_t how) {
    if (how % 4 == 0) how = bytes_.Next();
    wire::Outcome outcome;
    outcome.set_index(index);
    outcome.set_duration_us(how);
    if (how >> 4 == 4) {
      outcome.set_kind(wire::Outcome::UNREADABLE);
      outcome.set_storage_away(how & 8);
      outcome.set_reason("vanished");
    } else if (how >> 4 < 3) {
      outcome.set_kind(how & 16 ? wire::Outcome::UNANSWERED : wire::Outcome::ASSOCIATION_LOST);
      outcome.set_may_be_stored(how & 8);
      outcome.set_reason("lost");
    } else if (how >> 4 == 3) {
      outcome.set_kind(wire::Outcome::NOT_SENDABLE);
      outcome.set_reason("not decodable");
    } else {
      outcome.set_status(kStatuses[how % std::size(kStatuses)]);
      if (how & 4) outcome.set_reason("a comment");
    }
    return outcome;
  }

  void PassTime() {
    const std::uint8_t how = bytes_.Next();
    switch (how % 5) {
      case 0:
        if (wake_at_) now_ = std::max(now_, *wake_at_);
        break;
      case 1:
        if (wake_at_) now_ = std::max(now_, *wake_at_ - Duration(1));
        break;
      case 2:
        now_ += milliseconds(how * 4);
        break;
      case 3:
        now_ += seconds(how / 16);
        break;
      case 4:
        now_ += seconds(how / 3);
        break;
    }
    Step(Tick{});
  }

  std::string* const log_;
  Bytes bytes_;
  const SchedulerOptions options_;
  Scheduler real_;
  NaiveScheduler naive_;
  TimePoint now_{std::chrono::hours(1)};
  std::optional<TimePoint> wake_at_;
  std::size_t events_ = 0;
  LeaseId last_lease_ = 0;
  std::map<SessionKey, Session> sessions_;
  std::map<StudyKey, Study> studies_;
  std::map<LeaseId, StudyKey> leases_;         // all leases that ever existed
  std::map<std::string, WorkerSeen> workers_;  // their last status
};

}  // namespace

std::optional<std::string> RunSchedulerDuel(std::span<const std::uint8_t> bytes) {
  try {
    Duel(bytes, nullptr).Run();
    return std::nullopt;
  } catch (const std::exception&) {
  }
  std::string log;  // the events of the same duel
  try {
    Duel(bytes, &log).Run();
  } catch (const std::exception& error) {
    log += error.what();
  }
  return log;
}

}  // namespace dicom_sender
