// What the coordinator shows of itself to people and scripts over HTTP: a page, and the JSON behind it
// (status.proto).
//
//   /                   the page, which asks for the others every few seconds
//   /status.css, /status.js
//   /api/sessions, /api/workers, /api/destinations, /api/failures
//
// Read-only. Whoever reaches the address may look: paths and UIDs are shown, patients' names and ids are not.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "cli/render.h"
#include "common/http_server.h"
#include "status.pb.h"

namespace dicom_sender {

class StatusBoard {
 public:
  explicit StatusBoard(std::string version) : version_(std::move(version)) {}

  // What is shown from now on; rates are worked out from one call to the next. One thread.
  void Show(wire::Overview overview, TimePoint now);

  // For HttpServerOptions::pages. To be called by any thread, while the board lives. 503 before anything was shown.
  std::map<std::string, std::function<HttpPage()>> Pages() const;

 private:
  // Counts may fall when instances are requeued: then it begins anew.
  struct Pace {
    RateMeter meter;
    std::uint64_t settled = 0, bytes = 0;
  };
  void AddRates(wire::SessionsPage& page, TimePoint now);
  std::function<HttpPage()> Json(const std::string& path) const;

  const std::string version_;
  std::map<std::string, Pace> paces_;        // of the open sessions, by UUID
  mutable std::mutex mutex_;                 // of what follows
  std::map<std::string, std::string> json_;  // by path
};

}  // namespace dicom_sender
