// The small HTTP server of every program: for Prometheus, for whoever asks whether the program is well, and for
// pages. Not for the open internet: it has no encryption, and whoever reaches the address may read.
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

// Sent with headers that keep browsers from running or loading anything that does not come from here, from guessing
// types, and from keeping old answers.
struct HttpPage {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// What is wrong, one sentence; nullopt: all is well.
using HttpCheck = std::function<std::optional<std::string>()>;

// Pages are called by one thread of the server, health and readiness by another. Both should be quick, the latter
// above all: nothing is read or written meanwhile.
struct HttpServerOptions {
  std::string address;  // HOST:PORT, IPv6 addresses in brackets
  std::string version;  // of the program, for `build_info`
  std::shared_ptr<prometheus::Registry> registry;
  HttpCheck health = nullptr;                                   // nullptr: always well
  HttpCheck readiness = nullptr;                                // the same
  std::map<std::string, std::function<HttpPage()>> pages = {};  // others, by their path ("/")
};

// Answers GET and HEAD on
//   /metrics            everything in the registry, and `build_info`
//   /healthz, /readyz   200 and "ok", or 503 and the sentence of the check
// and on the paths of `pages`, which replace these; 404 on others, 405 to other methods. One request per connection.
// Neither idle or slow peers nor a page that takes long delay health and readiness. Limits: see HttpConnections.
class HttpServer {
 public:
  // The error is one sentence.
  static tl::expected<std::unique_ptr<HttpServer>, std::string> Start(HttpServerOptions options);
  ~HttpServer();  // waits for what is called just now
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Answers by these from now on, at the address that it has. Waits for what is called just now: nothing of the
  // earlier options is called or looked at any more when it returns. Not to be called by what it calls.
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

  std::mutex mutex_;  // of pages_, waiting_ and ends_
  std::condition_variable given_back_, wanted_;
  std::shared_ptr<const Pages> pages_;  // the thread that answers has them, too, as long as it does
  std::deque<Request> waiting_;         // for the thread of the pages
  bool ends_ = false;
  std::unique_ptr<HttpConnections> connections_;
  std::thread pages_thread_;
};

}  // namespace dicom_sender
