// A worker process: the real agent, driven as in the worker's loop, with senders that replace the sockets and threads
// of worker/sending/ with simulated time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/channel.h"
#include "tests/sim/destination.h"
#include "tests/sim/world.h"
#include "worker/agent/agent.h"

namespace dicom_sender {

class SimWorker {
 public:
  SimWorker(World& world, Checker& checker, Coordinators& coordinators, std::vector<SimDestination>& destinations,
            unsigned number);

  const std::string& name() const { return name_; }
  void Start();
  void Kill();
  // Simulates SIGSTOP and, later, SIGCONT. Afterwards the process first reads its clock.
  void Stall(Duration duration);
  // Simulates SIGTERM. The process starts again some time after it has ended.
  void Drain();
  // Adds the studies of which it would now send a further instance.
  void AddBelieved(std::vector<std::string_view>& studies) const;

 private:
  enum class Waiting { kNo, kPage, kBacklog };
  struct Sender {
    wire::LeaseGrant grant;
    wire::Page page;
    int position = 0;  // the position in the page
    std::set<std::uint32_t> tried;
    wire::Instance in_flight;
    bool busy = false;  // waits for the destination
    bool stop = false;  // the same as StudyLink::StopRequested
    bool lost = false;  // the lease is lost
    Waiting waiting = Waiting::kNo;
    std::optional<std::uint64_t> association;
    bool responded = false;
    unsigned losses = 0;  // consecutive
    std::uint64_t progress = 0;
    wire::GiveBack give_back;  // the result to report after the C-ECHO
  };
  struct Process {
    explicit Process(AgentOptions options) : agent(std::move(options)) {}
    Agent agent;
    std::map<std::uint64_t, Sender> senders;  // by lease
    std::shared_ptr<Mailbox> mailbox;
    bool draining = false;
    std::uint64_t wake = 0;  // only the latest wake-up counts
    std::optional<SimChannel> channel;
  };

  // Runs in this process, later if the process is paused, and never if it has ended.
  void Do(const std::weak_ptr<Process>& life, std::function<void()> what);
  void Later(Duration delay, std::function<void()> what);
  template <class Result>
  std::function<void(Result)> InSender(std::uint64_t lease, void (SimWorker::*then)(std::uint64_t, Result));

  void Receive(const std::string& bytes, unsigned coordinator);
  void Step();
  void Take(AgentOutput& out);
  void WakeSenders();
  void StartDraining();
  void EndIfDrained();

  void Continue(std::uint64_t lease);
  void EndStudy(std::uint64_t lease);
  void Associate(std::uint64_t lease);
  void Store(std::uint64_t lease);
  void OnConnected(std::uint64_t lease, SimDestination::Connected connected);
  void GiveBackOfDestination(std::uint64_t lease, wire::GiveBack::Reason reason);
  void OnEcho(std::uint64_t lease, SimDestination::Connected connected);
  // Returns nullopt if the file can be read.
  std::optional<wire::Outcome> CannotSend(const SimFile& file) const;
  void OnStored(std::uint64_t lease, SimDestination::Stored stored);
  void OnLoss(std::uint64_t lease, SimDestination::Stored lost);
  void Tell(std::uint64_t lease, wire::Outcome::Kind kind, SimDestination::Stored stored);
  void Tell(std::uint64_t lease, wire::Outcome outcome);
  void Finish(std::uint64_t lease, wire::GiveBack::Reason reason);
  void Finish(std::uint64_t lease, wire::GiveBack give_back);
  SimDestination& DestinationOf(const Sender& sender);

  World& world_;
  Checker& checker_;
  Coordinators& coordinators_;
  std::vector<SimDestination>& destinations_;
  const std::string name_;
  const std::uint32_t capacity_;
  const SimClock clock_;
  std::uint64_t lives_ = 0;
  TimePoint stalled_until_;
  std::shared_ptr<Process> process_;
};

}  // namespace dicom_sender
