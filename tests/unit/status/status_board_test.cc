#include "coordinator/status/status_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

namespace dicom_sender {
namespace {

using testing::HasSubstr;
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
  void ShowAt(int seconds, const wire::Overview& overview) {
    board_.Show(overview, TimePoint(std::chrono::seconds(seconds)));
  }

  StatusBoard board_{"9.8.7"};
};

TEST_F(StatusBoardTest, ServesThePageAndItsParts) {
  EXPECT_THAT(Page("/").body, StartsWith("<!doctype html>"));
  EXPECT_EQ(Page("/").content_type, "text/html; charset=utf-8");
  EXPECT_THAT(Page("/status.css").content_type, StartsWith("text/css"));
  EXPECT_THAT(Page("/status.js").body, HasSubstr("api/"));
}

TEST_F(StatusBoardTest, HasNothingToTellBeforeItWasShownAnything) {
  EXPECT_EQ(Page("/api/sessions").status, 503);
  EXPECT_EQ(Page("/").status, 200) << "the page waits for it";
}

TEST_F(StatusBoardTest, TellsWhatItWasShown) {
  wire::Overview overview = OverviewWith(10);
  overview.mutable_workers()->add_workers()->set_worker("w\xFF</script>");
  overview.mutable_destinations()->add_destinations()->set_destination("A:104@a");
  overview.mutable_failures()->add_failures()->mutable_failure()->set_path("/data/\xFF");
  ShowAt(0, overview);
  const auto sessions = Json("/api/sessions");
  EXPECT_STREQ(sessions["version"].GetString(), "9.8.7");
  EXPECT_EQ(sessions["at_ms"].GetInt64(), 5);
  EXPECT_EQ(sessions["sessions"][0]["status"]["stored"].GetUint64(), 10U);
  EXPECT_TRUE(sessions["sessions"][0]["instances_per_second"].IsNull()) << "too early to tell";
  EXPECT_STREQ(Json("/api/workers")["workers"][0]["worker"].GetString(), "w\xEF\xBF\xBD</script>");
  EXPECT_STREQ(Json("/api/destinations")["destinations"][0]["destination"].GetString(), "A:104@a");
  EXPECT_STREQ(Json("/api/failures")["failures"][0]["failure"]["path"].GetString(), "/data/\xEF\xBF\xBD");
}

TEST_F(StatusBoardTest, WorksOutRateAndTimeLeft) {
  for (int second = 0; second <= 4; ++second) ShowAt(second, OverviewWith(static_cast<std::uint64_t>(second) * 100));
  const auto page = Json("/api/sessions");
  const auto& session = page["sessions"][0];
  EXPECT_DOUBLE_EQ(session["instances_per_second"].GetDouble(), 100);
  EXPECT_DOUBLE_EQ(session["bytes_per_second"].GetDouble(), 100'000);
  EXPECT_EQ(session["seconds_left"].GetUint64(), 6U);
}

TEST_F(StatusBoardTest, BeginsAnewWhereInstancesWereRequeued) {
  for (int second = 0; second <= 4; ++second) ShowAt(second, OverviewWith(500));
  ShowAt(5, OverviewWith(400));
  EXPECT_TRUE(Json("/api/sessions")["sessions"][0]["instances_per_second"].IsNull());
  for (int second = 6; second <= 10; ++second) {
    ShowAt(second, OverviewWith(400 + 10 * static_cast<std::uint64_t>(second - 5)));
  }
  EXPECT_DOUBLE_EQ(Json("/api/sessions")["sessions"][0]["instances_per_second"].GetDouble(), 10);
}

TEST_F(StatusBoardTest, ASessionThatHasEndedHasNoRate) {
  for (int second = 0; second <= 4; ++second) ShowAt(second, OverviewWith(static_cast<std::uint64_t>(second) * 100));
  ShowAt(5, OverviewWith(1000, wire::SESSION_COMPLETE));
  EXPECT_TRUE(Json("/api/sessions")["sessions"][0]["instances_per_second"].IsNull());
  EXPECT_TRUE(Json("/api/sessions")["sessions"][0]["seconds_left"].IsNull());
}

}  // namespace
}  // namespace dicom_sender
