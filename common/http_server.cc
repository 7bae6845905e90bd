#include "common/http_server.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <exception>
#include <sstream>
#include <utility>

#include "common/metrics.h"

namespace dicom_sender {
namespace {

constexpr const char* kSafetyHeaders =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
    "'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-store\r\n";

constexpr std::size_t kWaitingMax = 128;  // requests for pages

// RFC 9110, 5.6.7. The status page computes its age from this date, so a wrong clock in the browser does not matter.
std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc)};
}

HttpPage MetricsPage(const prometheus::Registry& registry) {
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = prometheus::TextSerializer().Serialize(registry.Collect())};
}

const char* Meaning(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

std::string Bytes(const HttpPage& page, bool with_body) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}Connection: close\r\n\r\n{}",
      page.status, Meaning(page.status), HttpDate(), page.content_type, page.body.size(),
      page.status == 405 ? "Allow: GET, HEAD\r\n" : "", kSafetyHeaders, with_body ? page.body : "");
}

bool IsCheck(const std::string& path) { return path == "/healthz" || path == "/readyz"; }

HttpPage CheckPage(const HttpCheck& check) {
  const auto wrong = check ? check() : std::nullopt;
  if (!wrong) return {.body = "ok\n"};
  return {.status = 503, .body = *wrong + "\n"};
}

}  // namespace

void HttpServer::Replace(HttpServerOptions options) {
  AddBuildInfo(*options.registry, options.version);
  auto pages = std::move(options.pages);
  pages.emplace("/metrics", [registry = options.registry] { return MetricsPage(*registry); });
  pages.emplace("/healthz", [check = std::move(options.health)] { return CheckPage(check); });
  pages.emplace("/readyz", [check = std::move(options.readiness)] { return CheckPage(check); });
  auto replaced = std::make_shared<const Pages>(std::move(pages));
  std::unique_lock lock(mutex_);
  pages_.swap(replaced);  // later requests use the new pages and do not delay this call
  given_back_.wait(lock, [&replaced] { return !replaced || replaced.use_count() == 1; });
}

HttpServer::~HttpServer() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
    wanted_.notify_all();
  }
  if (pages_thread_.joinable()) pages_thread_.join();
}

std::optional<HttpServer::Request> HttpServer::Parse(HttpConnections::Id id, const std::string& head) {
  std::istringstream line(head.substr(0, head.find_first_of("\r\n")));
  Request request{.id = id, .method = {}, .path = {}};
  std::string version, more;
  line >> request.method >> request.path >> version;
  if (line >> more || (version != "HTTP/1.0" && version != "HTTP/1.1") || request.path[0] != '/') return std::nullopt;
  request.path.resize(std::min(request.path.find('?'), request.path.size()));
  return request;
}

// Runs in the thread of the connections.
std::optional<std::string> HttpServer::OnRequest(HttpConnections::Id id, const std::string& head) {
  if (!EndsHead(head)) return Bytes({.status = 431, .body = "the request is too long\n"}, true);
  auto request = Parse(id, head);
  if (!request) return Bytes({.status = 400, .body = "not an HTTP/1.x request\n"}, true);
  if (request->method != "GET" && request->method != "HEAD") {
    return Bytes({.status = 405, .body = "only GET and HEAD are supported\n"}, true);
  }
  if (IsCheck(request->path)) return Bytes(PageAt(request->path), request->method == "GET");
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= kWaitingMax) return Bytes({.status = 503, .body = "busy: too many requests\n"}, true);
  waiting_.push_back(*std::move(request));
  wanted_.notify_one();
  return std::nullopt;
}

void HttpServer::AnswerPages() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    if (ends_) return;
    const Request request = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    connections_->Answer(request.id, Bytes(PageAt(request.path), request.method == "GET"));
    lock.lock();
  }
}

HttpPage HttpServer::PageAt(const std::string& path) {
  std::unique_lock lock(mutex_);
  auto pages = pages_;
  lock.unlock();
  HttpPage answer = PageOf(*pages, path);
  lock.lock();
  pages.reset();
  given_back_.notify_all();
  return answer;
}

HttpPage HttpServer::PageOf(const Pages& pages, const std::string& path) {
  const auto page = pages.find(path);
  if (page == pages.end()) return {.status = 404, .body = "page not found\n"};
  try {
    return page->second();
  } catch (const std::exception& error) {  // one page must not end the program
    spdlog::error("The page {} failed: {}", path, error.what());
    return {.status = 500, .body = "internal error: see the log\n"};
  }
}

tl::expected<std::unique_ptr<HttpServer>, std::string> HttpServer::Start(HttpServerOptions options) {
  const std::string address = options.address;
  auto listener = HttpConnections::Listen(address);
  if (!listener) {
    return tl::unexpected(
        fmt::format("metrics cannot be served on '{}': {}; give --metrics a free port and an "
                    "address of this machine",
                    address, listener.error()));
  }
  std::unique_ptr<HttpServer> server(new HttpServer());
  server->Replace(std::move(options));
  server->connections_ = std::make_unique<HttpConnections>(
      *std::move(listener),
      [&server = *server](HttpConnections::Id id, const std::string& head) { return server.OnRequest(id, head); });
  server->pages_thread_ = std::thread([&server = *server] { server.AnswerPages(); });
  return server;
}

}  // namespace dicom_sender
