#include "common/metrics.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>

#include "common/unique_fd.h"
#include "tests/support/process.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Text(const prometheus::Registry& registry) {
  return prometheus::TextSerializer().Serialize(registry.Collect());
}

// The names and labels that dashboards and alerts depend on, typed in from the list of them.
TEST(Metrics, KnownSeriesStartAtZero) {
  prometheus::Registry registry;
  IndexerMetrics indexer(registry);
  WorkerMetrics worker(registry);
  CoordinatorMetrics coordinator(registry);
  const std::string text = Text(registry);
  for (const std::string series : {
           "indexed_files_total{result=\"indexed\"}",
           "indexed_files_total{result=\"broken\"}",
           "indexed_files_total{result=\"not_dicom\"}",
           "indexed_files_total{result=\"empty\"}",
           "indexed_files_total{result=\"unreadable\"}",
           "indexed_files_total{result=\"dicomdir\"}",
           "bytes_sent_total",
           "cstore_duration_seconds_count",
           "study_duration_seconds_count",
           "associations_active",
           "association_failures_total{reason=\"resolve\"}",
           "association_failures_total{reason=\"refused\"}",
           "association_failures_total{reason=\"unreachable\"}",
           "association_failures_total{reason=\"timeout\"}",
           "association_failures_total{reason=\"rejected_permanent\"}",
           "association_failures_total{reason=\"rejected_transient\"}",
           "association_failures_total{reason=\"aborted\"}",
           "association_failures_total{reason=\"connection_lost\"}",
           "association_failures_total{reason=\"protocol_error\"}",
           "instances_total{outcome=\"stored\"}",
           "instances_total{outcome=\"stored_with_warning\"}",
           "instances_total{outcome=\"failed\"}",
           "instances_total{outcome=\"skipped\"}",
           "instances_total{outcome=\"delayed\"}",
           "queue_wait_seconds_count",
           "studies{state=\"pending\"}",
           "studies{state=\"delayed\"}",
           "studies{state=\"leased\"}",
           "studies{state=\"done\"}",
           "leases_expired_total",
           "late_outcomes_total",
           "resends_total",
           "messages_refused_total",
           "workers_connected",
           "breaker_open",
           "last_success_timestamp_seconds",
           "ledger_commit_duration_seconds_count",
       }) {
    EXPECT_THAT(text, HasSubstr("\ndicom_sender_" + series + " 0"));
  }
  EXPECT_THAT(text, Not(HasSubstr("other")));
}

TEST(Metrics, AProcessShowsOnlyWhatItIs) {
  prometheus::Registry registry;
  IndexerMetrics indexer(registry);
  const std::string text = Text(registry);
  EXPECT_THAT(text, HasSubstr("indexed_files_total"));
  EXPECT_THAT(text, Not(HasSubstr("instances_total")));
  EXPECT_THAT(text, Not(HasSubstr("bytes_sent_total")));
}

TEST(Metrics, CountWhereTheyShould) {
  prometheus::Registry registry;
  CoordinatorMetrics metrics(registry);
  metrics.instances_total["failed"].Increment(3);
  metrics.instances_total["a new outcome"].Increment();
  metrics.instances_total["another one"].Increment();
  metrics.studies_leased.Set(2);
  const std::string text = Text(registry);
  EXPECT_THAT(text, HasSubstr("dicom_sender_instances_total{outcome=\"failed\"} 3"));
  EXPECT_THAT(text, HasSubstr("dicom_sender_instances_total{outcome=\"stored\"} 0"));
  EXPECT_THAT(text, HasSubstr("dicom_sender_instances_total{outcome=\"other\"} 2"));
  EXPECT_THAT(text, HasSubstr("dicom_sender_studies{state=\"leased\"} 2"));
}

std::string Get(std::uint16_t port, const std::string& path) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "no connection";
  const std::string request = "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
  if (write(fd.get(), request.data(), request.size()) < 0) return "cannot write";
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(fd.get(), buffer, sizeof buffer)) > 0;)
    answer.append(buffer, static_cast<size_t>(got));
  return answer;
}

TEST(MetricsServer, ServesTheRegistry) {
  auto registry = std::make_shared<prometheus::Registry>();
  WorkerMetrics metrics(*registry);
  const std::uint16_t port = FindFreePort();
  auto server = MetricsServer::Start("127.0.0.1:" + std::to_string(port), "0.1.0", registry);
  ASSERT_TRUE(server) << server.error();
  metrics.bytes_sent_total.Increment(42);
  const std::string answer = Get(port, "/metrics");
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("dicom_sender_bytes_sent_total 42"));
  EXPECT_THAT(answer, HasSubstr("dicom_sender_build_info{version=\"0.1.0\"} 1"));
}

TEST(MetricsServer, StopsListening) {
  const std::uint16_t port = FindFreePort();
  const std::string address = "127.0.0.1:" + std::to_string(port);
  ASSERT_TRUE(MetricsServer::Start(address, "0.1.0", std::make_shared<prometheus::Registry>()));  // and gone again
  EXPECT_EQ(Get(port, "/metrics"), "no connection");
}

TEST(MetricsServer, SaysWhatIsWrongInOneSentence) {
  const std::uint16_t port = FindFreePort();
  const std::string taken = "127.0.0.1:" + std::to_string(port);
  const auto first = MetricsServer::Start(taken, "0.1.0", std::make_shared<prometheus::Registry>());
  ASSERT_TRUE(first) << first.error();
  for (const std::string& address :
       {taken, std::string("192.0.2.1:9"), std::string("nonsense"), std::string("1.2.3.4.5:x")}) {
    testing::internal::CaptureStderr();
    const auto server = MetricsServer::Start(address, "0.1.0", std::make_shared<prometheus::Registry>());
    const std::string noise = testing::internal::GetCapturedStderr();
    ASSERT_FALSE(server) << address;
    EXPECT_THAT(server.error(), HasSubstr(address));
    EXPECT_THAT(server.error(), Not(HasSubstr("\n")));
    EXPECT_EQ(noise, "") << "the caller says it, once";
  }
}

}  // namespace
}  // namespace dicom_sender
