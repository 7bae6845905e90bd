// The worker's side of the lease protocol (proto/worker.proto): tracks leases, and decides what to send and when to
// stop.
//
// Pure: no socket, thread, or clock. The caller reports events, then calls Step() to learn what to send and do.
// Rules, each with its reason:
// - A granted lease starts only after a StatusAck has confirmed it. A grant may be late or repeated, so the worker
// must
//   ask whether the lease is still valid.
// - A lease is renewed from the time when the status that renewed it was *sent*, and is shortened by 1 %, because
// clocks
//   run at different speeds: so it ends here before it ends at the coordinator.
// - A lease that has ended does not start again, even if a repetition of its grant is still in flight.
// - Progress counts until it is acknowledged, so that a lost status does not cost a healthy sender its lease.
// - A lease has at most one report in flight, which is repeated under the same number until it is acknowledged.
// Outcomes
//   that are not yet reported are kept and reported even after the lease is lost, because outcomes are facts.
// - A lost lease is not given back, because that would end the lease of the worker that has it now.
// Bounds: kAgentLeasesMax leases; the caller limits the outcomes of each lease (see Backlog).
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/time.h"
#include "worker.pb.h"

namespace dicom_sender {

inline constexpr std::size_t kAgentLeasesMax = 1024;
inline constexpr std::size_t kReportAtOnce = 64;  // so many outcomes are reported without delay

struct AgentOptions {
  std::string worker_id;
  std::uint64_t incarnation = 0;                    // greater with each start of the worker
  std::uint32_t capacity = 1;                       // simultaneous associations
  Duration resend_after = std::chrono::seconds(5);  // for unanswered messages
  // A status is sent every third of the lease time, but at least this often, because a restarted coordinator does not
  // know idle workers.
  Duration status_every_max = std::chrono::seconds(10);
  // The time between two reports of a lease, unless it has ended or many outcomes wait. Each report costs a commit of
  // the ledger.
  Duration report_every = std::chrono::milliseconds(10);
};

struct AgentOutput {
  std::vector<wire::WorkerMessage> messages;
  std::vector<wire::LeaseGrant> starts;  // send these studies; Finish() must follow for each
  std::vector<wire::Page> pages;         // replies to WantPage()
  std::vector<std::uint64_t> lost;       // leases under which no further instance may be sent
  std::vector<std::uint64_t> ended;      // the same, because their sessions end, for example after a cancellation
  bool drain = false;                    // an operator requested it
  std::optional<TimePoint> wake_at;      // the time by which Step() must be called again
};

class Agent {
 public:
  explicit Agent(AgentOptions options) : options_(std::move(options)) {}

  // --- events
  void Receive(const wire::CoordinatorMessage& message, TimePoint now);
  void WantPage(std::uint64_t lease, std::uint32_t from_index);
  void Record(std::uint64_t lease, wire::Outcome outcome);
  void CountAssociation(std::uint64_t lease);
  // `amount` grows with bytes and responses. Only whether it has changed matters.
  void Progress(std::uint64_t lease, std::uint64_t amount);
  void Finish(std::uint64_t lease, wire::GiveBack give_back);
  // The coordinator's ledger does not know the lease of a report. The report is repeated anyway, because the
  // coordinator may restart on the right ledger.
  void ReportRefused(std::uint64_t lease);
  // Call it after a new connection. All unanswered messages become due at once, because they may be lost.
  void SpeakAgain();
  // Takes no more studies. The caller must end those that are being sent.
  void Drain();
  // Sets a readable reason why the worker cannot send at the moment; empty if it can.
  void SetNotReady(std::string reason);

  // --- decisions
  AgentOutput Step(TimePoint now);

  std::size_t Backlog(std::uint64_t lease) const;  // outcomes that are not acknowledged
  std::size_t leases() const { return leases_.size(); }
  // True if all remaining leases have ended and their reports were refused, or no lease is left.
  bool OnlyRefusedLeft() const;

 private:
  enum class Stage { kGranted, kSending, kFinished };
  struct Lease {
    Stage stage = Stage::kGranted;
    std::optional<wire::LeaseGrant> grant;  // set while kGranted
    bool confirmed = false;
    bool lost = false;
    TimePoint expires_at = TimePoint::max();
    std::uint64_t progress = 0;
    std::uint64_t progress_acknowledged = 0;

    std::optional<std::uint32_t> wanted_page;
    std::optional<TimePoint> page_asked_at;

    std::deque<wire::Outcome> unreported;
    std::optional<wire::Report> report;  // the report in flight
    bool report_refused = false;
    TimePoint report_sent_at;
    std::uint64_t report_seq = 0;
    std::uint32_t associations = 0;
    std::uint32_t associations_reported = 0;
    std::optional<wire::GiveBack> give_back;
  };
  struct SentStatus {
    std::uint64_t seq = 0;
    TimePoint sent_at;
    std::map<std::uint64_t, std::uint64_t> progress;  // by lease
  };

  void On(const wire::LeaseGrant& grant);
  void On(const wire::StatusAck& ack, TimePoint now);
  void On(const wire::Page& page);
  void On(const wire::ReportAck& ack);

  void ExpireLeases(TimePoint now);
  void StartConfirmed(AgentOutput& out);
  void GiveBackUnstarted();
  void AskForPages(TimePoint now, AgentOutput& out);
  void SendReports(TimePoint now, AgentOutput& out);
  void ForgetSettled();
  void SendStatus(TimePoint now, AgentOutput& out);
  void Lose(std::uint64_t id, Lease& lease, std::vector<std::uint64_t>& told);
  bool HasNews(const Lease& lease) const;
  bool MayReport(const Lease& lease, TimePoint now) const;
  void MakeReport(std::uint64_t id, Lease& lease) const;
  std::size_t Sending() const;
  TimePoint NextStatus() const;
  std::optional<TimePoint> NextDeadline() const;

  AgentOptions options_;
  std::map<std::uint64_t, Lease> leases_;
  std::set<std::uint64_t> over_;  // the newest kAgentLeasesMax leases that have ended
  bool draining_ = false;
  std::string not_ready_;
  bool status_due_ = true;
  std::uint64_t status_seq_ = 0;
  std::uint64_t status_acknowledged_ = 0;
  bool drain_requested_ = false;
  std::deque<SentStatus> sent_statuses_;  // the latest ones
  Duration ttl_ = std::chrono::hours(1);  // the coordinator's latest value
  std::vector<wire::Page> arrived_pages_;
  std::vector<std::uint64_t> lost_, ended_;
};

}  // namespace dicom_sender
