// The worker's loop by itself, with nobody to speak with.
#include "worker/loop/worker_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

namespace dicom_sender {
namespace {

class Nobody : public SendingObserver {
 public:
  void OnOutcome(unsigned, const std::string&, const wire::Outcome&) override {}
};

// Ends the worker with the first line.
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

TEST(WorkerLoop, SaysThatThereIsNoCoordinator) {
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

}  // namespace
}  // namespace dicom_sender
