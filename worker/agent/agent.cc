#include "worker/agent/agent.h"

#include <algorithm>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kSentStatusesMax = 16;
// 1 % of the lease time, which is far more than two working clocks differ.
constexpr int kClockMarginDivisor = 100;

}  // namespace

// --- events

void Agent::Receive(const wire::CoordinatorMessage& message, TimePoint now) {
  switch (message.message_case()) {
    case wire::CoordinatorMessage::kGrant:
      return On(message.grant());
    case wire::CoordinatorMessage::kStatusAck:
      return On(message.status_ack(), now);
    case wire::CoordinatorMessage::kPage:
      return On(message.page());
    case wire::CoordinatorMessage::kReportAck:
      return On(message.report_ack());
    case wire::CoordinatorMessage::MESSAGE_NOT_SET:
      break;
  }
}

void Agent::On(const wire::LeaseGrant& grant) {
  status_due_ = true;  // a repeated grant means that the coordinator does not know yet that it has arrived
  if (leases_.contains(grant.lease_id()) || over_.contains(grant.lease_id())) return;
  if (leases_.size() >= kAgentLeasesMax) return;
  leases_[grant.lease_id()].grant = grant;
}

void Agent::On(const wire::StatusAck& ack, TimePoint now) {
  ttl_ = std::chrono::milliseconds(ack.ttl_ms());
  status_acknowledged_ = std::max(status_acknowledged_, ack.seq());
  if (ack.drain()) {
    drain_requested_ = true;
    Drain();  // before starting leases that the same message has confirmed
  }
  const auto sent = std::find_if(sent_statuses_.begin(), sent_statuses_.end(),
                                 [&](const SentStatus& status) { return status.seq == ack.seq(); });
  if (sent != sent_statuses_.end()) {
    for (const std::uint64_t id : ack.renewed()) {
      const auto lease = leases_.find(id);
      const auto progress = sent->progress.find(id);
      if (lease == leases_.end() || lease->second.lost || progress == sent->progress.end()) continue;
      const TimePoint expires_at = sent->sent_at + ttl_ - ttl_ / kClockMarginDivisor;
      if (expires_at <= now) continue;
      const bool first = !lease->second.confirmed;
      lease->second.confirmed = true;
      lease->second.expires_at = first ? expires_at : std::max(lease->second.expires_at, expires_at);
      lease->second.progress_acknowledged = std::max(lease->second.progress_acknowledged, progress->second);
    }
  }
  for (const std::uint64_t id : ack.revoked()) {
    const auto lease = leases_.find(id);
    if (lease == leases_.end()) continue;
    const bool ended = std::find(ack.ended().begin(), ack.ended().end(), id) != ack.ended().end();
    Lose(id, lease->second, ended ? ended_ : lost_);
  }
}

void Agent::On(const wire::Page& page) {
  const auto lease = leases_.find(page.lease_id());
  if (lease == leases_.end() || lease->second.wanted_page != page.from_index()) return;
  lease->second.wanted_page.reset();
  lease->second.page_asked_at.reset();
  arrived_pages_.push_back(page);
}

void Agent::On(const wire::ReportAck& ack) {
  const auto lease = leases_.find(ack.lease_id());
  if (lease == leases_.end() || !lease->second.report || lease->second.report->seq() != ack.seq()) return;
  if (lease->second.report->has_give_back()) lease->second.give_back.reset();
  lease->second.report.reset();
  lease->second.report_refused = false;
}

void Agent::ReportRefused(std::uint64_t id) {
  if (const auto lease = leases_.find(id); lease != leases_.end()) lease->second.report_refused = true;
}

void Agent::SpeakAgain() {
  status_due_ = true;
  for (auto& [id, lease] : leases_) {
    lease.page_asked_at.reset();
    if (lease.report) lease.report_sent_at = TimePoint::min();
  }
}

void Agent::WantPage(std::uint64_t id, std::uint32_t from_index) {
  if (const auto lease = leases_.find(id); lease != leases_.end()) lease->second.wanted_page = from_index;
}

void Agent::Record(std::uint64_t id, wire::Outcome outcome) {
  const auto lease = leases_.find(id);
  if (lease == leases_.end()) return;
  lease->second.unreported.push_back(std::move(outcome));
}

void Agent::CountAssociation(std::uint64_t id) {
  if (const auto lease = leases_.find(id); lease != leases_.end()) ++lease->second.associations;
}

void Agent::Progress(std::uint64_t id, std::uint64_t amount) {
  if (const auto lease = leases_.find(id); lease != leases_.end()) lease->second.progress = amount;
}

void Agent::Finish(std::uint64_t id, wire::GiveBack give_back) {
  const auto lease = leases_.find(id);
  if (lease == leases_.end()) return;
  lease->second.stage = Stage::kFinished;
  lease->second.wanted_page.reset();
  if (!lease->second.lost) lease->second.give_back = std::move(give_back);
}

void Agent::Drain() {
  status_due_ |= !draining_;
  draining_ = true;
}

void Agent::SetNotReady(std::string reason) {
  status_due_ |= reason != not_ready_;
  not_ready_ = std::move(reason);
}

// From now on, nothing may be sent under the lease. A lease that has not started yet is dropped.
void Agent::Lose(std::uint64_t id, Lease& lease, std::vector<std::uint64_t>& told) {
  if (lease.lost) return;
  lease.lost = true;
  lease.give_back.reset();
  lease.wanted_page.reset();
  if (lease.stage == Stage::kGranted) lease.stage = Stage::kFinished;
  if (lease.stage == Stage::kSending) told.push_back(id);
}

// --- decisions

AgentOutput Agent::Step(TimePoint now) {
  AgentOutput out;
  ExpireLeases(now);
  draining_ ? GiveBackUnstarted() : StartConfirmed(out);
  AskForPages(now, out);
  SendReports(now, out);
  ForgetSettled();
  if (status_due_ || now >= NextStatus()) SendStatus(now, out);
  // The status must be first, because it tells the coordinator which worker a new connection belongs to.
  std::stable_partition(out.messages.begin(), out.messages.end(),
                        [](const wire::WorkerMessage& message) { return message.has_status(); });
  out.pages = std::exchange(arrived_pages_, {});
  out.lost = std::exchange(lost_, {});
  out.ended = std::exchange(ended_, {});
  out.drain = drain_requested_;
  out.wake_at = NextDeadline();
  return out;
}

void Agent::ExpireLeases(TimePoint now) {
  for (auto& [id, lease] : leases_) {
    if (lease.stage != Stage::kFinished && now >= lease.expires_at) Lose(id, lease, lost_);
  }
}

std::size_t Agent::Sending() const {
  return static_cast<std::size_t>(std::count_if(
      leases_.begin(), leases_.end(), [](const auto& entry) { return entry.second.stage == Stage::kSending; }));
}

// A lost lease still uses capacity while its sender is busy.
void Agent::StartConfirmed(AgentOutput& out) {
  std::size_t sending = Sending();
  for (auto& [id, lease] : leases_) {
    if (sending >= options_.capacity) return;
    if (lease.stage != Stage::kGranted || !lease.confirmed) continue;
    lease.stage = Stage::kSending;
    ++sending;
    out.starts.push_back(*std::exchange(lease.grant, std::nullopt));
  }
}

void Agent::GiveBackUnstarted() {
  wire::GiveBack give_back;
  give_back.set_reason(wire::GiveBack::DRAINING);
  for (auto& [id, lease] : leases_) {
    if (lease.stage == Stage::kGranted) Finish(id, give_back);
  }
}

void Agent::AskForPages(TimePoint now, AgentOutput& out) {
  for (auto& [id, lease] : leases_) {
    if (!lease.wanted_page) continue;
    if (lease.page_asked_at && now < *lease.page_asked_at + options_.resend_after) continue;
    lease.page_asked_at = now;
    auto& message = out.messages.emplace_back();
    message.mutable_page_request()->set_lease_id(id);
    message.mutable_page_request()->set_from_index(*lease.wanted_page);
  }
}

bool Agent::HasNews(const Lease& lease) const {
  return !lease.unreported.empty() || lease.give_back || lease.associations > lease.associations_reported;
}

bool Agent::MayReport(const Lease& lease, TimePoint now) const {
  return lease.stage == Stage::kFinished || lease.unreported.size() >= kReportAtOnce ||
         now >= lease.report_sent_at + options_.report_every;
}

void Agent::MakeReport(std::uint64_t id, Lease& lease) const {
  wire::Report& report = lease.report.emplace();
  report.set_lease_id(id);
  report.set_seq(++lease.report_seq);
  while (!lease.unreported.empty() && report.outcomes_size() < kReportOutcomesMax) {
    *report.add_outcomes() = std::move(lease.unreported.front());
    lease.unreported.pop_front();
  }
  report.set_associations(lease.associations);
  lease.associations_reported = lease.associations;
  if (lease.give_back && lease.unreported.empty()) *report.mutable_give_back() = *lease.give_back;
}

void Agent::SendReports(TimePoint now, AgentOutput& out) {
  for (auto& [id, lease] : leases_) {
    const bool repeat = lease.report && now >= lease.report_sent_at + options_.resend_after;
    const bool fresh = !lease.report && HasNews(lease) && MayReport(lease, now);
    if (!repeat && !fresh) continue;
    if (fresh) MakeReport(id, lease);
    lease.report_sent_at = now;
    *out.messages.emplace_back().mutable_report() = *lease.report;
  }
}

void Agent::ForgetSettled() {
  std::erase_if(leases_, [this](const auto& entry) {
    const auto& [id, lease] = entry;
    if (lease.stage != Stage::kFinished || lease.report || HasNews(lease)) return false;
    // The coordinator waits until the worker stops holding a revoked lease. The report ends a lease that is given
    // back.
    status_due_ |= lease.lost;
    over_.insert(id);
    return true;
  });
  while (over_.size() > kAgentLeasesMax) over_.erase(over_.begin());
}

void Agent::SendStatus(TimePoint now, AgentOutput& out) {
  auto& message = out.messages.emplace_back();
  auto& status = *message.mutable_status();
  status.set_worker_id(options_.worker_id);
  status.set_incarnation(options_.incarnation);
  status.set_seq(++status_seq_);
  status.set_capacity(options_.capacity);
  status.set_draining(draining_);
  status.set_not_ready(not_ready_);
  SentStatus sent{.seq = status_seq_, .sent_at = now, .progress = {}};
  for (const auto& [id, lease] : leases_) {
    if (lease.lost && lease.stage == Stage::kFinished) continue;  // nothing is sent under it
    auto* held = status.add_held();
    held->set_lease_id(id);
    // A lease that waits for its confirmation cannot make progress, and must not expire because of that.
    held->set_progressed(!lease.confirmed || lease.progress != lease.progress_acknowledged);
    sent.progress[id] = lease.progress;
  }
  sent_statuses_.push_back(std::move(sent));
  if (sent_statuses_.size() > kSentStatusesMax) sent_statuses_.pop_front();
  status_due_ = false;
}

std::size_t Agent::Backlog(std::uint64_t id) const {
  const auto lease = leases_.find(id);
  if (lease == leases_.end()) return 0;
  const auto under_way = lease->second.report ? static_cast<std::size_t>(lease->second.report->outcomes_size()) : 0;
  return lease->second.unreported.size() + under_way;
}

bool Agent::OnlyRefusedLeft() const {
  return std::all_of(leases_.begin(), leases_.end(), [](const auto& entry) {
    return entry.second.stage == Stage::kFinished && entry.second.report_refused;
  });
}

// A status is due soon if a grant waits for its confirmation or a status is unanswered.
TimePoint Agent::NextStatus() const {
  if (sent_statuses_.empty()) return TimePoint::min();
  const bool unconfirmed = std::any_of(leases_.begin(), leases_.end(), [](const auto& entry) {
    return entry.second.stage == Stage::kGranted && !entry.second.confirmed;
  });
  const bool hurries = unconfirmed || status_acknowledged_ < status_seq_;
  const Duration every = std::min(ttl_ / 3, options_.status_every_max);
  return sent_statuses_.back().sent_at + (hurries ? std::min(every, options_.resend_after) : every);
}

std::optional<TimePoint> Agent::NextDeadline() const {
  TimePoint next = NextStatus();
  for (const auto& [id, lease] : leases_) {
    if (lease.stage != Stage::kFinished && !lease.lost) next = std::min(next, lease.expires_at);
    if (lease.wanted_page && lease.page_asked_at) next = std::min(next, *lease.page_asked_at + options_.resend_after);
    if (lease.report) next = std::min(next, lease.report_sent_at + options_.resend_after);
    if (!lease.report && HasNews(lease)) next = std::min(next, lease.report_sent_at + options_.report_every);
  }
  return next;
}

}  // namespace dicom_sender
