#include "bench/simulated_workers.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "proto/limits.h"
#include "proto/validate.h"
#include "transport/channel.h"
#include "worker/agent/agent.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kPollMax(100);
constexpr std::chrono::seconds kConnectPatience(30);
constexpr std::uint32_t kStoreMicroseconds = 1000;  // the duration that the workers report

class SimulatedWorker {
 public:
  SimulatedWorker(zmq::context_t& context, const std::string& endpoint, AgentOptions options)
      : agent_(std::move(options)), channel_(context, {endpoint}) {}

  DealerChannel& channel() { return channel_; }
  TimePoint wake_at() const { return wake_at_; }

  // Returns how many studies it has begun.
  std::uint64_t Step(TimePoint now);

 private:
  void SendPage(const wire::Page& page);

  Agent agent_;
  DealerChannel channel_;
  TimePoint wake_at_{};  // the first wake-up is immediate
  std::uint64_t progress_ = 0;
};

std::uint64_t SimulatedWorker::Step(TimePoint now) {
  std::uint64_t begun = 0;
  while (const auto bytes = channel_.Receive()) {
    if (const auto answer = ParseFromCoordinator(*bytes)) agent_.Receive(answer->worker(), now);
  }
  for (bool news = true; news;) {
    AgentOutput out = agent_.Step(now);
    news = !out.starts.empty() || !out.pages.empty();
    for (const wire::LeaseGrant& grant : out.starts) {
      ++begun;
      agent_.CountAssociation(grant.lease_id());
      SendPage(grant.first_page());
    }
    for (const wire::Page& page : out.pages) SendPage(page);
    for (const std::uint64_t lease : out.lost) agent_.Finish(lease, {});
    for (auto& message : out.messages)
      channel_.Send(Envelope(std::move(message)));  // the agent repeats lost messages
    wake_at_ = out.wake_at.value_or(TimePoint::max());
  }
  return begun;
}

void SimulatedWorker::SendPage(const wire::Page& page) {
  for (const wire::Instance& instance : page.instances()) {
    wire::Outcome outcome;
    outcome.set_index(instance.index());
    outcome.set_kind(wire::Outcome::RESPONDED);
    outcome.set_duration_us(kStoreMicroseconds);
    agent_.Record(page.lease_id(), std::move(outcome));
  }
  agent_.Progress(page.lease_id(), ++progress_);
  if (page.next_index() != 0) return agent_.WantPage(page.lease_id(), page.next_index());
  wire::GiveBack done;
  done.set_reason(wire::GiveBack::DONE);
  agent_.Finish(page.lease_id(), std::move(done));
}

std::chrono::milliseconds PollTimeout(const std::deque<SimulatedWorker>& workers) {
  TimePoint next = MonotonicNow() + kPollMax;
  for (const auto& worker : workers) next = std::min(next, worker.wake_at());
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(next - MonotonicNow()), std::chrono::milliseconds(0));
}

}  // namespace

SimulatedWorkers::SimulatedWorkers(zmq::context_t& context, const SimulatedWorkersOptions& options) {
  for (unsigned i = 0; i < options.threads; ++i) {
    threads_.emplace_back([this, &context, options, i](std::stop_token stop) { Run(stop, context, options, i); });
  }
}

void SimulatedWorkers::Run(std::stop_token stop, zmq::context_t& context, const SimulatedWorkersOptions& options,
                           unsigned first) {
  std::deque<SimulatedWorker> workers;
  std::vector<zmq::pollitem_t> items;
  for (unsigned i = first; i < options.workers; i += options.threads) {
    auto& worker = workers.emplace_back(
        context, options.endpoint,
        AgentOptions{.worker_id = fmt::format("worker-{}", i), .incarnation = 1, .capacity = options.capacity});
    items.push_back({worker.channel().socket().handle(), 0, ZMQ_POLLIN, 0});
  }
  for (auto& worker : workers) worker.channel().WaitUntilConnected(kConnectPatience);
  while (!stop.stop_requested()) {
    zmq::poll(items, PollTimeout(workers));
    const TimePoint now = MonotonicNow();
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i].revents != 0 || now >= workers[i].wake_at()) leases_ += workers[i].Step(now);
    }
  }
}

}  // namespace dicom_sender
