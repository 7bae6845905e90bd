// The worker's side of the lease protocol (proto/worker.proto): what it holds, what it must say, when it must stop.
//
// Pure: no socket, thread or clock. The shell tells it what happened, then takes from Step() what is to be sent and
// done. Rules, each with its reason:
// - A granted lease starts only when a StatusAck has confirmed it. A grant may be late, or a repetition: that the
//   lease is still ours is known only after we have asked.
// - A lease counts from when the status that renewed it was *sent*, and a hundredth of its time less, because clocks
//   are not equally fast: so it is over here before it is over there.
// - A lease that is over does not start again, whatever repetition of its grant is still under way.
// - Progress counts until it was acknowledged: a lost status must not cost a healthy sender its lease.
// - A lease has at most one report under way; it is repeated under the same number until it is acknowledged. What was
//   not reported is kept and reported even when the lease is lost: outcomes are facts.
// - A lease that is lost is not given back: whoever has it now would lose it.
// Bounds: kAgentLeasesMax leases; each has the outcomes that the shell lets it have (see Backlog).
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
inline constexpr std::size_t kReportAtOnce = 64;  // outcomes that do not wait for more

struct AgentOptions {
  std::string worker_id;
  std::uint64_t incarnation = 0;                    // greater with each start of the worker
  std::uint32_t capacity = 1;                       // associations at once
  Duration resend_after = std::chrono::seconds(5);  // what was not answered
  // A third of the lease time, but at most this: a coordinator that has started anew knows of no idle worker.
  Duration status_every_max = std::chrono::seconds(10);
  // Between two reports of a lease, unless it is over or many outcomes wait: each costs a commit of the ledger.
  Duration report_every = std::chrono::milliseconds(10);
};

struct AgentOutput {
  std::vector<wire::WorkerMessage> messages;
  std::vector<wire::LeaseGrant> starts;  // send these studies; Finish() must follow for each
  std::vector<wire::Page> pages;         // as asked for with WantPage()
  std::vector<std::uint64_t> lost;       // leases under which no further instance may be sent
  std::vector<std::uint64_t> ended;      // the same, because their sessions end, such as by a cancellation
  bool drain = false;                    // an operator wants it
  std::optional<TimePoint> wake_at;      // Step() again by then
};

class Agent {
 public:
  explicit Agent(AgentOptions options) : options_(std::move(options)) {}

  // --- what happened
  void Receive(const wire::CoordinatorMessage& message, TimePoint now);
  void WantPage(std::uint64_t lease, std::uint32_t from_index);
  void Record(std::uint64_t lease, wire::Outcome outcome);
  void CountAssociation(std::uint64_t lease);
  // `amount` grows with bytes and responses; only that it has changed counts.
  void Progress(std::uint64_t lease, std::uint64_t amount);
  void Finish(std::uint64_t lease, wire::GiveBack give_back);
  // The coordinator's ledger does not know the lease that we reported of. It is repeated all the same: the
  // coordinator may come back on the right ledger.
  void ReportRefused(std::uint64_t lease);
  // Another coordinator may listen now, or the same one after a loss: what was said and not answered is due at once.
  void SpeakAgain();
  // No more studies; those that are being sent are the shell's to end.
  void Drain();
  // Why the worker can send nothing at the moment, for a person; empty: it can.
  void SetNotReady(std::string reason);

  // --- what follows
  AgentOutput Step(TimePoint now);

  std::size_t Backlog(std::uint64_t lease) const;  // outcomes that are not acknowledged
  std::size_t leases() const { return leases_.size(); }
  // No lease, or only such as nothing is sent under any more and whose report was refused: nobody waits for it.
  bool OnlyRefusedLeft() const;

 private:
  enum class Stage { kGranted, kSending, kFinished };
  struct Lease {
    Stage stage = Stage::kGranted;
    std::optional<wire::LeaseGrant> grant;  // of kGranted
    bool confirmed = false;
    bool lost = false;
    TimePoint expires_at = TimePoint::max();
    std::uint64_t progress = 0;
    std::uint64_t progress_acknowledged = 0;

    std::optional<std::uint32_t> wanted_page;
    std::optional<TimePoint> page_asked_at;

    std::deque<wire::Outcome> unreported;
    std::optional<wire::Report> report;  // the one under way
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
    std::map<std::uint64_t, std::uint64_t> progress;  // of each lease in it
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
  std::set<std::uint64_t> over_;  // the youngest kAgentLeasesMax of the leases that are forgotten
  bool draining_ = false;
  std::string not_ready_;
  bool status_due_ = true;
  std::uint64_t status_seq_ = 0;
  std::uint64_t status_acknowledged_ = 0;
  bool drain_requested_ = false;
  std::deque<SentStatus> sent_statuses_;  // the last few
  Duration ttl_ = std::chrono::hours(1);  // as told last
  std::vector<wire::Page> arrived_pages_;
  std::vector<std::uint64_t> lost_, ended_;
};

}  // namespace dicom_sender
