// Serves the coordinator's state over HTTP: a status page for people, and JSON for scripts (status.proto).
//
//   /                   the page with the current state in it (snapshot.h); its script then polls the JSON every few
//                       seconds
//   /status.css, /status.js
//   /api/sessions, /api/workers, /api/destinations, /api/failures
//
// Read-only, without access control. It shows paths and UIDs, but never patient names or patient IDs.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "common/http_server.h"
#include "status.pb.h"

namespace dicom_sender {

class StatusBoard {
 public:
  explicit StatusBoard(std::string version) : version_(std::move(version)) {}

  // Replaces the state that is shown. Call it from one thread only.
  void Show(wire::Overview overview);

  // Returns handlers for HttpServerOptions::pages. Any thread may call them while the board exists. The JSON pages
  // return 503 before the first Show().
  std::map<std::string, std::function<HttpPage()>> Pages() const;

 private:
  std::function<HttpPage()> Json(const std::string& path) const;
  HttpPage Page() const;

  const std::string version_;
  mutable std::mutex mutex_;                 // guards the following two
  std::map<std::string, std::string> json_;  // by path
  std::optional<wire::Overview> overview_;   // nullopt: before the first Show()
};

}  // namespace dicom_sender
