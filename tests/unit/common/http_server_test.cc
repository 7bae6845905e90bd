#include "common/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <prometheus/counter.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <deque>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

#include "common/time.h"
#include "common/unique_fd.h"
#include "tests/support/process.h"

namespace dicom_sender {
namespace {

using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A connection to the server that sends bytes unchanged.
class Peer {
 public:
  explicit Peer(std::uint16_t port, const char* from = "127.0.0.1")
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience = {20, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, from, &address.sin_addr);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  bool connected() const { return connected_; }
  void Send(const std::string& bytes) const {
    EXPECT_EQ(send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // Sends one byte every 300 ms until the server closes the connection.
  void DripUntilClosed(const std::string& bytes) const {
    pollfd closed = {fd_.get(), POLLIN, 0};
    for (const char byte : bytes) {
      if (send(fd_.get(), &byte, 1, MSG_NOSIGNAL) != 1 || poll(&closed, 1, 300) == 1) return;
    }
    ADD_FAILURE() << "still open after " << bytes;
  }
  // Reads until the server closes the connection.
  std::string Answer() const {
    std::string answer;
    char buffer[4096];
    ssize_t got = 0;
    while ((got = recv(fd_.get(), buffer, sizeof buffer, 0)) > 0) answer.append(buffer, static_cast<size_t>(got));
    if (got < 0 && errno != ECONNRESET) ADD_FAILURE() << "the connection is still open after " << answer;
    return answer;
  }

 private:
  UniqueFd fd_;
  bool connected_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  HttpServerOptions Options() const {
    return {.address = "127.0.0.1:" + std::to_string(port_), .version = "0.1.0", .registry = registry_};
  }
  void Start(HttpServerOptions options) {
    auto server = HttpServer::Start(std::move(options));
    ASSERT_TRUE(server) << server.error();
    server_ = *std::move(server);
  }
  std::string Request(const std::string& line) const {
    const Peer peer(port_);
    EXPECT_TRUE(peer.connected());
    peer.Send(line + "\r\nHost: localhost\r\n\r\n");
    return peer.Answer();
  }
  void ExpectHealthAtOnce(const std::string& meanwhile) const {
    for (const char* path : {"/healthz", "/readyz"}) {
      const TimePoint begin = MonotonicNow();
      EXPECT_THAT(Get(path), EndsWith("\r\n\r\nok\n")) << meanwhile;
      EXPECT_LT(MonotonicNow() - begin, 500ms) << path << ", " << meanwhile;
    }
  }
  std::string Get(const std::string& path) const { return Request("GET " + path + " HTTP/1.1"); }

  const std::uint16_t port_ = FindFreePort();
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesTheRegistry) {
  prometheus::Counter& counter = prometheus::BuildCounter().Name("apples_total").Register(*registry_).Add({});
  Start(Options());
  counter.Increment(42);
  const std::string answer = Get("/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("\napples_total 42\n"));
  EXPECT_THAT(answer, HasSubstr("\ndicom_sender_build_info{version=\"0.1.0\"} 1\n"));
}

TEST_F(HttpServerTest, ReportsOkWithoutChecks) {
  Start(Options());
  for (const char* path : {"/healthz", "/readyz"}) {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
    EXPECT_THAT(answer, HasSubstr(" GMT\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"));
    EXPECT_THAT(answer, EndsWith("\r\nConnection: close\r\n\r\nok\n"));
  }
}

TEST_F(HttpServerTest, ReportsFailedChecks) {
  HttpServerOptions options = Options();
  std::atomic<bool> healthy = true, ready = false;  // the checks run in the server's threads
  const auto unless = [](bool well, const char* sentence) { return well ? std::nullopt : std::optional(sentence); };
  options.health = [&] { return unless(healthy, "the ledger is full"); };
  options.readiness = [&] { return unless(ready, "the coordinator is out of reach"); };
  Start(std::move(options));
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200 "));
  std::string answer = Get("/readyz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nthe coordinator is out of reach\n"));
  healthy = false;
  ready = true;
  EXPECT_THAT(Get("/healthz"), EndsWith("\r\n\r\nthe ledger is full\n"));
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, ServesTheCallersPages) {
  HttpServerOptions options = Options();
  options.pages["/"] = [] { return HttpPage{.content_type = "text/html", .body = "<p>hello"}; };
  options.pages["/broken"] = []() -> HttpPage { throw std::runtime_error("a secret"); };
  Start(std::move(options));
  const std::string answer = Get("/?refresh=5");
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: text/html\r\nContent-Length: 8\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n<p>hello"));
  EXPECT_THAT(Get("/broken"), StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(Get("/broken"), Not(HasSubstr("secret")));
}

TEST_F(HttpServerTest, SendsAContentSecurityPolicy) {
  Start(Options());
  for (const char* path : {"/healthz", "/metrics", "/nothing"}) {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, HasSubstr("\r\nContent-Security-Policy: default-src 'none'; script-src 'self';"));
    EXPECT_THAT(answer, HasSubstr("; frame-ancestors 'none'\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nCache-Control: no-store\r\n"));
  }
}

TEST_F(HttpServerTest, OtherPathsAndMethodsAreRefused) {
  Start(Options());
  for (const char* path : {"/", "/metrics/", "/metrics2", "/../metrics2", "/etc/passwd", "/%2e%2e/etc/passwd"}) {
    EXPECT_THAT(Get(path), StartsWith("HTTP/1.1 404 Not Found\r\n")) << path;
  }
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    const std::string answer = Request(std::string(method) + " /metrics HTTP/1.1");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n")) << method;
    EXPECT_THAT(answer, HasSubstr("\r\nAllow: GET, HEAD\r\n")) << method;
  }
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  Start(Options());
  const std::string answer = Request("HEAD /readyz HTTP/1.1");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 3\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, MalformedRequestsAreRefused) {
  Start(Options());
  for (const std::string& bytes :
       {std::string("nonsense\r\n\r\n"), std::string("GET\r\n\r\n"), std::string("GET /metrics\r\n\r\n"),
        std::string("\x16\x03\x01\x02\r\n\r\n"), std::string("GET /metrics HTTP/9.9\r\n\r\n"),
        "GET /metrics HTTP/1.1\r\nX: " + std::string(10'000, 'x') + "\r\n\r\n"}) {
    const Peer peer(port_);
    peer.Send(bytes);
    EXPECT_THAT(peer.Answer(), Not(HasSubstr(" 200 "))) << bytes.substr(0, 40);
  }
  EXPECT_TRUE(Peer(port_).connected()) << "and sends nothing";
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, IdleConnectionsDoNotDelayOthers) {
  Start(Options());
  for (const std::size_t idle : {8U, 16U, 100U}) {
    std::deque<Peer> peers;
    while (peers.size() < idle) peers.emplace_back(port_);
    ExpectHealthAtOnce(std::to_string(idle) + " idle connections");
  }
}

TEST_F(HttpServerTest, AnIdleConnectionIsClosedAfterASecond) {
  Start(Options());
  const Peer idle(port_);
  const TimePoint begin = MonotonicNow();
  EXPECT_EQ(idle.Answer(), "");
  EXPECT_LT(MonotonicNow() - begin, 3s);
}

TEST_F(HttpServerTest, TheRequestHeadMustArriveWithinASecond) {
  Start(Options());
  std::vector<std::jthread> slow;
  for (int i = 0; i < 20; ++i) {
    slow.emplace_back([&] {
      const Peer peer(port_);
      const TimePoint begin = MonotonicNow();
      peer.DripUntilClosed("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
      EXPECT_LT(MonotonicNow() - begin, 4s) << "each byte gives no further second";
    });
  }
  for (int i = 0; i < 5; ++i) ExpectHealthAtOnce("slow requests");
  slow.clear();
}

TEST_F(HttpServerTest, PeersThatDoNotReadDoNotDelayOthers) {
  HttpServerOptions options = Options();
  const std::string large(20 << 20, 'x');
  options.pages["/large"] = [&large] { return HttpPage{.body = large}; };
  Start(std::move(options));
  std::deque<Peer> peers;
  while (peers.size() < 10) peers.emplace_back(port_).Send("GET /large HTTP/1.1\r\n\r\n");
  ExpectHealthAtOnce("unread answers");
  EXPECT_THAT(Get("/metrics"), StartsWith("HTTP/1.1 200 ")) << "other pages come, too";
  const std::string answer = Get("/large");
  EXPECT_THAT(answer.substr(0, 100), StartsWith("HTTP/1.1 200 "));
  EXPECT_TRUE(answer.ends_with(large)) << "and a reader gets all of it: " << answer.size();
}

TEST_F(HttpServerTest, ABusyPageDelaysNeitherHealthNorReadiness) {
  std::promise<void> begun, end;
  HttpServerOptions options = Options();
  options.pages["/busy"] = [&, ended = end.get_future().share()] {
    begun.set_value();
    ended.wait();
    return HttpPage{.body = "done\n"};
  };
  Start(std::move(options));
  auto busy = std::async(std::launch::async, [this] { return Get("/busy"); });
  begun.get_future().wait();
  ExpectHealthAtOnce("a busy page");
  end.set_value();
  EXPECT_THAT(busy.get(), EndsWith("\r\n\r\ndone\n"));
}

TEST_F(HttpServerTest, AnAddressHasAtMost32ConnectionsAndTheOldestIsClosed) {
  Start(Options());
  const TimePoint begin = MonotonicNow();
  std::deque<Peer> peers;
  while (peers.size() < 33) peers.emplace_back(port_);
  EXPECT_EQ(peers.front().Answer(), "");
  EXPECT_LT(MonotonicNow() - begin, 500ms) << "it is closed before it is overdue";
  const Peer other(port_, "127.0.0.2");
  other.Send("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_THAT(other.Answer(), EndsWith("\r\n\r\nok\n"));
  peers.back().Send("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_THAT(peers.back().Answer(), EndsWith("\r\n\r\nok\n"));
}

// A Replace() that waited until no request is running would never return.
TEST_F(HttpServerTest, PagesCanBeReplacedUnderConstantRequests) {
  std::atomic<int> begun = 0;
  std::atomic<bool> ends = false;
  HttpServerOptions options = Options();
  options.pages["/"] = [&] {
    ++begun;
    return HttpPage{.body = "old\n"};
  };
  Start(std::move(options));
  std::vector<std::jthread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&] {
      while (!ends) Get("/");
    });
  }
  while (begun < 10) std::this_thread::yield();
  options = Options();
  options.pages["/"] = [&] { return HttpPage{.body = "new\n"}; };
  auto done = std::async(std::launch::async, [&] { server_->Replace(std::move(options)); });
  EXPECT_EQ(done.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  ends = true;
  done.get();
  EXPECT_THAT(Get("/"), EndsWith("new\n"));
}

TEST_F(HttpServerTest, StopsListening) {
  Start(Options());
  server_.reset();
  EXPECT_FALSE(Peer(port_).connected());
}

TEST_F(HttpServerTest, ReportsInOneSentenceWhyItCannotStart) {
  Start(Options());
  for (const std::string& address :
       {Options().address, std::string("192.0.2.1:9"), std::string("nonsense"), std::string("1.2.3.4.5:x")}) {
    HttpServerOptions options = Options();
    options.address = address;
    testing::internal::CaptureStderr();
    const auto server = HttpServer::Start(std::move(options));
    const std::string noise = testing::internal::GetCapturedStderr();
    ASSERT_FALSE(server) << address;
    EXPECT_THAT(server.error(), StartsWith("metrics cannot be served on '" + address + "': "));
    EXPECT_THAT(server.error(), EndsWith("; give --metrics a free port and an address of this machine"));
    EXPECT_EQ(noise, "") << "only the caller reports it";
  }
}

}  // namespace
}  // namespace dicom_sender
