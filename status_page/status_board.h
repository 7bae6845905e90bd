// What the coordinator shows of itself to people and scripts over HTTP: a page, and the JSON behind it
// (status.proto).
//
//   /                   the page with the current state in it (snapshot.h); its script then asks for the others every
//                       few seconds
//   /status.css, /status.js
//   /api/sessions, /api/workers, /api/destinations, /api/failures
//
// Read-only. Whoever reaches the address may look: paths and UIDs are shown, patients' names and ids are not.
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

  // What is shown from now on. One thread.
  void Show(wire::Overview overview);

  // For HttpServerOptions::pages. To be called by any thread, while the board lives. The JSON is 503 before anything
  // was shown.
  std::map<std::string, std::function<HttpPage()>> Pages() const;

 private:
  std::function<HttpPage()> Json(const std::string& path) const;
  HttpPage Page() const;

  const std::string version_;
  mutable std::mutex mutex_;                 // of what follows
  std::map<std::string, std::string> json_;  // by path
  std::optional<wire::Overview> overview_;   // none: nothing was shown yet
};

}  // namespace dicom_sender
