#include "worker/loop/ignored_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>
#include <vector>

namespace dicom_sender {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Lines : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  std::vector<std::string> lines;

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    lines.emplace_back(message.payload.data(), message.payload.size());
    EXPECT_EQ(message.level, spdlog::level::warn);
  }
  void flush_() override {}
};

class IgnoredLogTest : public testing::Test {
 protected:
  void SetUp() override { spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", lines_)); }
  void TearDown() override { spdlog::set_default_logger(earlier_); }

  const std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
  const std::shared_ptr<spdlog::logger> earlier_ = spdlog::default_logger();
  IgnoredLog log_;
};

TEST_F(IgnoredLogTest, EachRemarkIsLoggedOncePerDestination) {
  for (int association = 0; association < 3; ++association) {
    log_.Note("A:104@pacs", "a short item");
    log_.Note("A:104@pacs", "a long name");
    log_.Note("B:104@pacs", "a short item");
  }
  EXPECT_THAT(lines_->lines, ElementsAre(AllOf(HasSubstr("'A:104@pacs'"), HasSubstr("a short item")),
                                         AllOf(HasSubstr("'A:104@pacs'"), HasSubstr("a long name")),
                                         AllOf(HasSubstr("'B:104@pacs'"), HasSubstr("a short item"))));
}

TEST_F(IgnoredLogTest, IsBounded) {
  for (int i = 0; i < 1100; ++i) log_.Note(std::to_string(i), "a short item");
  for (int i = 0; i < 100; ++i) log_.Note("0", "remark " + std::to_string(i));
  EXPECT_EQ(lines_->lines.size(), 1000U + 15U);
  log_.Note("1", "a long name");
  EXPECT_EQ(lines_->lines.size(), 1016U) << "of a known destination";
}

}  // namespace
}  // namespace dicom_sender
