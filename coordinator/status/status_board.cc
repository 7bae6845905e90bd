#include "coordinator/status/status_board.h"

#include <chrono>

#include "client/json.h"
#include "client/session_view.h"
#include "coordinator/status/page.h"

namespace dicom_sender {
namespace {

std::function<HttpPage()> Fixed(const char* content_type, const char* body) {
  return [page = HttpPage{.content_type = content_type, .body = body}] { return page; };
}

}  // namespace

void StatusBoard::Show(wire::Overview overview, TimePoint now) {
  overview.mutable_sessions()->set_version(version_);
  AddRates(*overview.mutable_sessions(), now);
  std::map<std::string, std::string> json = {{"/api/sessions", ToJson(overview.sessions())},
                                             {"/api/workers", ToJson(overview.workers())},
                                             {"/api/destinations", ToJson(overview.destinations())},
                                             {"/api/failures", ToJson(overview.failures())}};
  const std::lock_guard lock(mutex_);
  json_.swap(json);
}

void StatusBoard::AddRates(wire::SessionsPage& page, TimePoint now) {
  std::map<std::string, Pace> before;
  before.swap(paces_);
  for (auto& session : *page.mutable_sessions()) {
    const wire::SessionStatus& status = session.status();
    if (HasEnded(status.state())) continue;
    Pace& pace = paces_[status.session()];
    if (const auto known = before.find(status.session()); known != before.end()) pace = std::move(known->second);
    const ProgressView view = ProgressOf(status, Duration::zero());
    if (view.done < pace.settled || view.bytes_done < pace.bytes) pace = {};
    pace.settled = view.done;
    pace.bytes = view.bytes_done;
    pace.meter.Add(now, view.done, view.bytes_done);
    const auto rate = pace.meter.Get();
    if (rate) {
      session.set_instances_per_second(rate->instances_per_second);
      session.set_bytes_per_second(rate->bytes_per_second);
    }
    const auto left = TimeLeft(view, rate);
    if (left)
      session.set_seconds_left(static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(*left).count()));
  }
}

std::function<HttpPage()> StatusBoard::Json(const std::string& path) const {
  return [this, path]() -> HttpPage {
    const std::lock_guard lock(mutex_);
    const auto json = json_.find(path);
    if (json == json_.end()) return {.status = 503, .body = "the coordinator is starting\n"};
    return {.content_type = "application/json", .body = json->second};
  };
}

std::map<std::string, std::function<HttpPage()>> StatusBoard::Pages() const {
  std::map<std::string, std::function<HttpPage()>> pages = {
      {"/", Fixed("text/html; charset=utf-8", kPageHtml)},
      {"/status.css", Fixed("text/css; charset=utf-8", kPageCss)},
      {"/status.js", Fixed("text/javascript; charset=utf-8", kPageJs)}};
  for (const char* path : {"/api/sessions", "/api/workers", "/api/destinations", "/api/failures"}) {
    pages[path] = Json(path);
  }
  return pages;
}

}  // namespace dicom_sender
