// Runs the worker's loop against fake coordinators.
#include "worker/loop/worker_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <thread>

#include "proto/validate.h"

namespace dicom_sender {
namespace {

class Nobody : public SendingObserver {
 public:
  void OnOutcome(unsigned, const SentInstance&, const wire::Outcome&) override {}
};

// Stops the worker at the first log line.
class FirstLine : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  std::stop_source drain;
  std::string text;

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    text.assign(message.payload.data(), message.payload.size());
    drain.request_stop();
  }
  void flush_() override {}
};

TEST(WorkerLoop, ReportsAMissingCoordinator) {
  const auto line = std::make_shared<FirstLine>();
  const auto earlier = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", line));
  zmq::context_t context;
  DealerChannel channel(context, {"tcp://127.0.0.1:1"});
  prometheus::Registry registry;
  WorkerMetrics metrics(registry);
  Nobody observer;
  WorkerHealth health;
  EXPECT_TRUE(RunWorker(channel, {.worker_id = "w", .threads = 1, .path_map = {}}, metrics, observer, health,
                        line->drain.get_token(), std::stop_token()));
  spdlog::set_default_logger(earlier);
  EXPECT_THAT(line->text, testing::HasSubstr("No connection to the coordinator"));
}

TEST(WorkerLoop, RegistersWithANewLeaderAtOnce) {
  constexpr std::chrono::seconds kPatience(30);
  zmq::context_t context;
  RouterChannel stand_by(context, "tcp://127.0.0.1:*"), leader(context, "tcp://127.0.0.1:*");
  DealerChannel channel(context, {stand_by.endpoint(), leader.endpoint()});
  prometheus::Registry registry;
  WorkerMetrics metrics(registry);
  Nobody observer;
  WorkerHealth health;
  std::stop_source drain;
  std::jthread worker([&] {
    EXPECT_TRUE(RunWorker(channel, {.worker_id = "w", .threads = 1, .path_map = {}}, metrics, observer, health,
                          drain.get_token(), std::stop_token()));
  });
  const auto await = [&](RouterChannel& router) {
    zmq::pollitem_t item{router.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kPatience);
    return router.Receive();
  };
  const auto asked = await(stand_by);
  const auto begin = std::chrono::steady_clock::now();
  if (asked) stand_by.Send(asked->peer, Envelope(wire::NotLeading()));
  const auto announced = await(leader);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500)) << "its next status is later";
  const auto envelope = ParseToCoordinator(announced ? announced->bytes : "");
  EXPECT_TRUE(envelope && envelope->worker().status().worker_id() == "w");
  EXPECT_EQ(health.last_heard, 0) << "not from a leader";
  drain.request_stop();
}

}  // namespace
}  // namespace dicom_sender
