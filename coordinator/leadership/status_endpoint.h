// Shows the state of the process to its operators through all phases: the HTTP server, and what the service manager
// is told. Between two phases only a minimal page is shown, and the process counts as healthy for a while.
#pragma once

#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "common/http_server.h"
#include "common/progress.h"
#include "common/service_manager.h"
#include "common/time.h"

namespace dicom_sender {

// One sentence if the last sign of progress is older than the limit.
std::optional<std::string> BusySince(TimePoint last_progress, Duration limit);

// The functions are called by other threads, see common/http_server.h.
struct PhaseStatus {
  std::shared_ptr<prometheus::Registry> registry;
  Progress progress;
  std::map<std::string, std::function<HttpPage()>> pages;  // /readyz, and any others
};

class StatusEndpoint {
 public:
  // Withdraws the status of a phase. Destroy it before anything that the status refers to.
  class Publication {
   public:
    explicit Publication(StatusEndpoint& endpoint) : endpoint_(endpoint) {}
    ~Publication() { endpoint_.Withdraw(); }
    Publication(const Publication&) = delete;
    Publication& operator=(const Publication&) = delete;

   private:
    StatusEndpoint& endpoint_;
  };

  // Without an `address`, no HTTP server is started.
  StatusEndpoint(std::optional<std::string> address, std::stop_token stop);

  bool serves_http() const { return address_.has_value(); }
  // The error is one sentence: the address cannot be used.
  tl::expected<std::unique_ptr<Publication>, std::string> Publish(PhaseStatus status);
  // Tells the service manager that the phase serves. `status` is a few words for people.
  void ReportReady(const std::string& status);
  // For waits between two phases, so that they do not count as hanging.
  void NoteProgress();
  // A problem if the current phase made no progress within `limit`. Thread-safe.
  std::optional<std::string> Health(Duration limit) const;

 private:
  void Withdraw();
  tl::expected<void, std::string> Serve(PhaseStatus status);

  const std::optional<std::string> address_;
  const std::stop_token stop_;
  mutable std::mutex mutex_;
  Progress progress_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<ServiceManager> manager_;
};

}  // namespace dicom_sender
