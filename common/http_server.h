// The small HTTP server of every program: for Prometheus, for whoever asks whether the program is well, and for
// pages. Not for the open internet: it has no encryption, and whoever reaches the address may read.
#pragma once

#include <prometheus/registry.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tl/expected.hpp>

struct mg_connection;
struct mg_context;

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

// Everything that is called here is called from the server's threads, at most eight at a time, and should be quick.
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
// and on the paths of `pages`, which go before these; 404 on others, 405 to other methods. One request a connection,
// eight at a time; a request has at most 8 KiB, and a peer that is silent for five seconds loses its connection.
class HttpServer {
 public:
  // The error is one sentence.
  static tl::expected<std::unique_ptr<HttpServer>, std::string> Start(HttpServerOptions options);
  ~HttpServer();  // waits for the answers that are under way; takes up to two seconds
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Answers by these from now on, at the address that it has. Waits for the answers that are under way: nothing of
  // the earlier options is called or looked at any more when it returns. Not to be called by what it calls.
  void Replace(HttpServerOptions options);

 private:
  using Pages = std::map<std::string, std::function<HttpPage()>>;

  HttpServer() = default;
  static int OnRequest(mg_connection* connection);
  HttpPage Answer(const std::string& method, const std::string& path) const;
  static HttpPage AnswerBy(const Pages& pages, const std::string& path);

  mutable std::mutex mutex_;  // of who has the pages: whoever answers, as long as it does
  mutable std::condition_variable given_back_;
  std::shared_ptr<const Pages> pages_;
  mg_context* context_ = nullptr;
};

}  // namespace dicom_sender
