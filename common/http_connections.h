// The connections of the HTTP server: one thread accepts them, reads one request from each, and writes the response.
// It never waits for a single peer. The server (http_server.h) decides what the response is.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "common/time.h"
#include "common/unique_fd.h"
#include "common/wake_event.h"

struct pollfd;

namespace dicom_sender {

// Returns whether `bytes` contains the empty line that ends the head of a request.
bool EndsHead(std::string_view bytes);

// Limits: a head of 8 KiB, within 1 s of the connection; 10 s to receive the response; 32 connections per peer
// address and 128 in total. Beyond these, the oldest connection is closed, so that a new one is always accepted.
class HttpConnections {
 public:
  using Id = std::uint64_t;
  // The thread of the connections calls it with the head of a request, which may have been cut at the limit. It
  // returns the bytes of the complete response, or nullopt if Answer() will be called later.
  using OnRequest = std::function<std::optional<std::string>(Id, const std::string& head)>;

  // Returns a socket that listens on HOST:PORT (IPv6 addresses in brackets). The error is one sentence.
  static tl::expected<UniqueFd, std::string> Listen(const std::string& address);

  HttpConnections(UniqueFd listener, OnRequest on_request);
  ~HttpConnections();  // closes all connections
  HttpConnections(const HttpConnections&) = delete;
  HttpConnections& operator=(const HttpConnections&) = delete;

  // Thread-safe. Does nothing if the connection is closed.
  void Answer(Id id, std::string bytes);

 private:
  enum class State : std::uint8_t { kReading, kWaiting, kWriting, kClosing };
  struct Connection {
    UniqueFd fd;
    std::string address;  // of the peer
    State state = State::kReading;
    TimePoint deadline = TimePoint::max();
    std::string bytes;  // the head of the request, then the response
    std::size_t written = 0;
  };

  void Run();
  std::vector<pollfd> Wanted(TimePoint now) const;
  int Timeout(TimePoint now) const;
  void TakeAnswers();
  void CloseOverdue(TimePoint now);
  void AcceptSome();
  void MakeRoomFor(const std::string& address);
  // These return whether the connection stays open.
  bool Serve(Id id, Connection& connection, short events);
  bool Read(Id id, Connection& connection);
  bool BeginAnswer(Connection& connection, std::string bytes);
  bool Write(Connection& connection);

  const UniqueFd listener_;
  const OnRequest on_request_;
  std::map<Id, Connection> connections_;  // oldest first
  Id last_id_ = 0;
  TimePoint accept_again_at_;
  WakeEvent wake_;
  std::mutex mutex_;  // guards the following two
  std::map<Id, std::string> answers_;
  bool ends_ = false;
  std::thread thread_;  // last, because it uses the other members
};

}  // namespace dicom_sender
