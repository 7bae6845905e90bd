#include "common/http_server.h"

#include <civetweb.h>
#include <fmt/format.h>
#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <ctime>
#include <exception>
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

// RFC 9110, 5.6.7. What is shown can tell how old it is by it, whatever the clock of who looks says.
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
  pages_.swap(replaced);  // whoever asks from now on does not hold this up
  given_back_.wait(lock, [&replaced] { return !replaced || replaced.use_count() == 1; });
}

HttpServer::~HttpServer() {
  if (context_ != nullptr) mg_stop(context_);
}

HttpPage HttpServer::Answer(const std::string& method, const std::string& path) const {
  if (method != "GET" && method != "HEAD") return {.status = 405, .body = "only GET and HEAD are answered\n"};
  std::unique_lock lock(mutex_);
  auto pages = pages_;
  lock.unlock();
  HttpPage answer = AnswerBy(*pages, path);
  lock.lock();
  pages.reset();
  given_back_.notify_all();
  return answer;
}

HttpPage HttpServer::AnswerBy(const Pages& pages, const std::string& path) {
  const auto page = pages.find(path);
  if (page == pages.end()) return {.status = 404, .body = "there is no such page\n"};
  try {
    return page->second();
  } catch (const std::exception& error) {  // must not reach the server's C code
    spdlog::error("The page {} failed: {}", path, error.what());
    return {.status = 500, .body = "internal error: the log says more\n"};
  }
}

int HttpServer::OnRequest(mg_connection* connection) {
  const mg_request_info* request = mg_get_request_info(connection);
  const auto* server = static_cast<const HttpServer*>(request->user_data);
  const std::string method = request->request_method;
  const HttpPage page = server->Answer(method, request->local_uri != nullptr ? request->local_uri : "");
  std::string answer = fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}Connection: close\r\n\r\n",
      page.status, mg_get_response_code_text(connection, page.status), HttpDate(), page.content_type,
      page.body.size(), page.status == 405 ? "Allow: GET, HEAD\r\n" : "", kSafetyHeaders);
  if (method != "HEAD") answer += page.body;
  mg_write(connection, answer.data(), answer.size());  // if it fails, nobody waits for it
  return page.status;
}

tl::expected<std::unique_ptr<HttpServer>, std::string> HttpServer::Start(HttpServerOptions options) {
  const std::string address = options.address;
  std::unique_ptr<HttpServer> server(new HttpServer());
  server->Replace(std::move(options));
  const char* settings[] = {"listening_ports",  address.c_str(), "num_threads", "8", "request_timeout_ms", "5000",
                            "max_request_size", "8192",          nullptr};
  mg_callbacks callbacks{};
  callbacks.begin_request = OnRequest;
  // It would go to standard error. What matters is said by the error below.
  callbacks.log_message = [](const mg_connection*, const char*) { return 1; };
  server->context_ = mg_start(&callbacks, server.get(), settings);
  if (server->context_ != nullptr) return server;
  return tl::unexpected(fmt::format(
      "metrics cannot be served on {}: the port is taken, or the address is none of this machine's", address));
}

}  // namespace dicom_sender
