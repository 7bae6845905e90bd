#include "status_page/status_board.h"

#include "session/json.h"
#include "status_page/page.h"
#include "status_page/snapshot.h"

namespace dicom_sender {
namespace {

constexpr const char* kHtml = "text/html; charset=utf-8";

std::function<HttpPage()> Fixed(const char* content_type, const char* body) {
  return [page = HttpPage{.content_type = content_type, .body = body}] { return page; };
}

}  // namespace

void StatusBoard::Show(wire::Overview overview) {
  overview.mutable_sessions()->set_version(version_);
  std::map<std::string, std::string> json = {{"/api/sessions", ToJson(overview.sessions())},
                                             {"/api/workers", ToJson(overview.workers())},
                                             {"/api/destinations", ToJson(overview.destinations())},
                                             {"/api/failures", ToJson(overview.failures())}};
  const std::lock_guard lock(mutex_);
  json_.swap(json);
  overview_ = std::move(overview);
}

std::function<HttpPage()> StatusBoard::Json(const std::string& path) const {
  return [this, path]() -> HttpPage {
    const std::lock_guard lock(mutex_);
    const auto json = json_.find(path);
    if (json == json_.end()) return {.status = 503, .body = "the coordinator is starting\n"};
    return {.content_type = "application/json", .body = json->second};
  };
}

HttpPage StatusBoard::Page() const {
  std::optional<wire::Overview> overview;
  {
    const std::lock_guard lock(mutex_);
    overview = overview_;
  }
  return {.content_type = kHtml, .body = overview ? PageWith(*overview) : PageWithNothing()};
}

std::map<std::string, std::function<HttpPage()>> StatusBoard::Pages() const {
  std::map<std::string, std::function<HttpPage()>> pages = {
      {"/", [this] { return Page(); }},
      {"/status.css", Fixed("text/css; charset=utf-8", kPageCss)},
      {"/status.js", Fixed("text/javascript; charset=utf-8", kPageJs)}};
  for (const char* path : {"/api/sessions", "/api/workers", "/api/destinations", "/api/failures"}) {
    pages[path] = Json(path);
  }
  return pages;
}

}  // namespace dicom_sender
