// The small HTTP server of every program: it serves metrics for Prometheus, health checks, and pages. Do not expose
// it to the internet: it has neither encryption nor access control.
#pragma once

#include <prometheus/registry.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tl/expected.hpp>

#include "common/http_connections.h"

namespace dicom_sender {

// The server adds headers that keep browsers from running or loading anything from elsewhere, from guessing content
// types, and from caching.
struct HttpPage {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Returns what is wrong in one sentence, or nullopt if the program is healthy.
using HttpCheck = std::function<std::optional<std::string>()>;

// One thread of the server calls the pages, another calls the checks. All of them should be quick, above all the
// checks, because the server neither reads nor writes while one runs.
struct HttpServerOptions {
  std::string address;  // HOST:PORT, IPv6 addresses in brackets
  std::string version;  // the program's, for `build_info`
  std::shared_ptr<prometheus::Registry> registry;
  HttpCheck health = nullptr;                                   // nullptr: always healthy
  HttpCheck readiness = nullptr;                                // nullptr: always ready
  std::map<std::string, std::function<HttpPage()>> pages = {};  // further pages, by path ("/")
};

// Answers GET and HEAD on
//   /metrics            everything in the registry, and `build_info`
//   /healthz, /readyz   200 and "ok", or 503 and the sentence of the check
// and on the paths of `pages`, which take precedence. Other paths get 404, other methods 405. One request per
// connection. Neither idle or slow peers nor slow pages delay the checks. For the limits, see HttpConnections.
class HttpServer {
 public:
  // The error is one sentence.
  static tl::expected<std::unique_ptr<HttpServer>, std::string> Start(HttpServerOptions options);
  ~HttpServer();  // waits for pages and checks that are running
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Serves the new pages and checks from now on, at the same address. Waits for the old ones that are running: when
  // it returns, the old options are no longer used. A page or check must not call it.
  void Replace(HttpServerOptions options);

 private:
  using Pages = std::map<std::string, std::function<HttpPage()>>;
  struct Request {
    HttpConnections::Id id = 0;
    std::string method, path;
  };

  HttpServer() = default;
  static std::optional<Request> Parse(HttpConnections::Id id, const std::string& head);
  std::optional<std::string> OnRequest(HttpConnections::Id id, const std::string& head);
  void AnswerPages();
  HttpPage PageAt(const std::string& path);
  static HttpPage PageOf(const Pages& pages, const std::string& path);

  std::mutex mutex_;  // guards pages_, waiting_, and ends_
  std::condition_variable given_back_, wanted_;
  std::shared_ptr<const Pages> pages_;  // shared with the thread that runs a page or check, while it runs
  std::deque<Request> waiting_;         // requests for pages
  bool ends_ = false;
  std::unique_ptr<HttpConnections> connections_;
  std::thread pages_thread_;
};

}  // namespace dicom_sender
