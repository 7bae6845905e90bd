// What the process shows of itself to whoever watches it, through all its phases: the HTTP server and what the
// service manager is told. Between two phases it shows next to nothing, and counts as well for a while.
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

// What is wrong if the last sign of life was not within the limit, one sentence.
std::optional<std::string> BusySince(TimePoint last_sign, Duration limit);

// Of one phase. What is called is called by other threads, see common/http_server.h.
struct Face {
  std::shared_ptr<prometheus::Registry> registry;
  Progress progress;
  std::map<std::string, std::function<HttpPage()>> pages;  // /readyz, and what else there is
};

class Front {
 public:
  // Takes the face away when the phase ends: before what the face looks at.
  class Shown {
   public:
    explicit Shown(Front& front) : front_(front) {}
    ~Shown() { front_.Hide(); }
    Shown(const Shown&) = delete;
    Shown& operator=(const Shown&) = delete;

   private:
    Front& front_;
  };

  // `address` of the HTTP server: none if there is none.
  Front(std::optional<std::string> address, std::stop_token stop);

  // The error is one sentence: the address cannot be used.
  tl::expected<std::unique_ptr<Shown>, std::string> Show(Face face);
  // The phase serves; `status` is what people are shown, a few words.
  void Ready(const std::string& status);
  // Between two phases: it waits and does not hang.
  void Note();
  // What is wrong with the phase if it does not get on within `limit`. Thread-safe.
  std::optional<std::string> Health(Duration limit) const;

 private:
  void Hide();
  tl::expected<void, std::string> Serve(Face face);

  const std::optional<std::string> address_;
  const std::stop_token stop_;
  mutable std::mutex mutex_;
  Progress progress_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<ServiceManager> manager_;
};

}  // namespace dicom_sender
