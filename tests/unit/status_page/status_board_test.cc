#include "status_page/status_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kSession = "11111111-2222-4333-8444-555555555555";

wire::Overview OverviewWith(std::uint64_t stored, wire::SessionState state = wire::SESSION_SENDING) {
  wire::Overview overview;
  overview.mutable_sessions()->set_at_ms(5);
  auto* status = overview.mutable_sessions()->add_sessions()->mutable_status();
  status->set_session(kSession);
  status->set_state(state);
  status->set_scan_complete(true);
  status->set_total(1000);
  status->set_total_bytes(1'000'000);
  status->set_stored(stored);
  status->set_settled_bytes(stored * 1000);
  return overview;
}

class StatusBoardTest : public testing::Test {
 protected:
  HttpPage Page(const std::string& path) { return board_.Pages().at(path)(); }
  rapidjson::Document Json(const std::string& path) {
    const HttpPage page = Page(path);
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.content_type, "application/json");
    rapidjson::Document document;
    document.Parse(page.body.c_str());
    EXPECT_FALSE(document.HasParseError()) << page.body;
    return document;
  }
  StatusBoard board_{"9.8.7"};
};

TEST_F(StatusBoardTest, ServesThePageAndItsResources) {
  EXPECT_THAT(Page("/").body, StartsWith("<!doctype html>"));
  EXPECT_EQ(Page("/").content_type, "text/html; charset=utf-8");
  EXPECT_THAT(Page("/status.css").content_type, StartsWith("text/css"));
  EXPECT_THAT(Page("/status.js").body, HasSubstr("api/"));
}

TEST_F(StatusBoardTest, HasNoStateBeforeTheFirstUpdate) {
  EXPECT_EQ(Page("/api/sessions").status, 503);
  EXPECT_EQ(Page("/").status, 200) << "the page waits for it";
}

TEST_F(StatusBoardTest, ServesTheLatestState) {
  wire::Overview overview = OverviewWith(10);
  overview.mutable_workers()->add_workers()->set_worker("w\xFF</script>");
  overview.mutable_destinations()->add_destinations()->set_destination("A:104@a");
  overview.mutable_failures()->add_failures()->mutable_failure()->set_path("/data/\xFF");
  board_.Show(overview);
  const auto sessions = Json("/api/sessions");
  EXPECT_STREQ(sessions["version"].GetString(), "9.8.7");
  EXPECT_EQ(sessions["at_ms"].GetInt64(), 5);
  EXPECT_EQ(sessions["sessions"][0]["status"]["stored"].GetUint64(), 10U);
  EXPECT_STREQ(Json("/api/workers")["workers"][0]["worker"].GetString(), "w\xEF\xBF\xBD</script>");
  EXPECT_STREQ(Json("/api/destinations")["destinations"][0]["destination"].GetString(), "A:104@a");
  EXPECT_STREQ(Json("/api/failures")["failures"][0]["failure"]["path"].GetString(), "/data/\xEF\xBF\xBD");
}

// The page shows its initial state without a script and before the script has run.
TEST_F(StatusBoardTest, ThePageIncludesTheState) {
  wire::Overview overview = OverviewWith(10);
  auto& status = *overview.mutable_sessions()->mutable_sessions(0)->mutable_status();
  status.set_pending(30);
  status.set_waits_for("the scan");
  auto* failure = overview.mutable_failures()->add_failures()->mutable_failure();
  failure->set_status(0xA900);
  failure->set_reason("A900 (dataset does not match SOP class)");
  auto* worker = overview.mutable_workers()->add_workers();
  worker->set_worker("w1");
  worker->set_state("idle");
  board_.Show(overview);
  const std::string body = Page("/").body;
  for (const char* text : {kSession, ">sending<", ">25%<", ">30<", ">the scan<", ">A900<",
                           ">(dataset does not match SOP class)<", ">w1<", ">idle<", "1970-01-01T00:00:00Z"}) {
    EXPECT_THAT(body, HasSubstr(text));
  }
  EXPECT_THAT(body, Not(HasSubstr("A900 A900")));
  const auto begin = body.find("id=\"state\">") + 11;
  rapidjson::Document state;
  state.Parse(body.substr(begin, body.find("</script>", begin) - begin).c_str());
  ASSERT_FALSE(state.HasParseError());
  EXPECT_EQ(state["sessions"]["sessions"][0]["status"]["stored"].GetUint64(), 10U);
  EXPECT_STREQ(state["failures"]["failures"][0]["failure"]["status"].GetString(), "A900");
}

TEST_F(StatusBoardTest, NamesCannotInjectMarkup) {
  const std::string hostile = "</script><script>x</script><img src=x onerror='x'>\"&\x1B";
  wire::Overview overview = OverviewWith(10);
  overview.mutable_sessions()->mutable_sessions(0)->mutable_status()->mutable_destination()->set_host(hostile);
  overview.mutable_workers()->add_workers()->set_worker(hostile);
  overview.mutable_destinations()->add_destinations()->set_destination(hostile);
  overview.mutable_failures()->add_failures()->mutable_failure()->set_path(hostile);
  board_.Show(overview);
  const std::string body = Page("/").body;
  EXPECT_THAT(body, Not(HasSubstr("<img")));
  EXPECT_THAT(body, Not(HasSubstr("<script>")));
  EXPECT_THAT(body, HasSubstr("&lt;img src=x onerror=&#39;x&#39;&gt;&quot;&amp;\\x1b"));
}

}  // namespace
}  // namespace dicom_sender
