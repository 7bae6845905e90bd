#include "session/session_view.h"

#include <gtest/gtest.h>

#include "cli/exit_status.h"

namespace dicom_sender {
namespace {

wire::SessionReport Report(wire::SessionState state) {
  wire::SessionReport report;
  auto& status = *report.mutable_status();
  status.set_session("S");
  status.set_state(state);
  status.mutable_destination()->set_called_ae("PACS");
  status.mutable_destination()->set_host("host");
  status.mutable_destination()->set_port(104);
  status.set_total(10);
  status.set_stored(4);
  status.set_warnings(1);
  status.set_failed(2);
  status.set_skipped(1);
  status.set_pending(3);
  status.set_stored_bytes(3 << 20);
  report.set_start_ms(1000);
  report.set_end_ms(90'000);
  report.set_worked_ms(2000);
  report.set_store_us(8000);
  return report;
}

TEST(SessionView, ShowsTheReport) {
  const SummaryView view = SummaryOf(Report(wire::SESSION_COMPLETE));
  EXPECT_EQ(view.end, SessionEnd::kComplete);
  EXPECT_EQ(view.destination, "PACS:104@host");
  EXPECT_EQ(view.pending, 3U);
  EXPECT_EQ(view.elapsed, std::chrono::seconds(2));
  EXPECT_EQ(view.average, std::chrono::milliseconds(2));
  EXPECT_DOUBLE_EQ(view.mib_per_second, 1.5);
}

TEST(SessionView, NoTimeGivesNoThroughput) {
  auto report = Report(wire::SESSION_COMPLETE);
  report.set_worked_ms(0);
  EXPECT_EQ(SummaryOf(report).elapsed, Duration(0));
  EXPECT_EQ(SummaryOf(report).mib_per_second, 0);
}

TEST(SessionView, ShowsTheMostFrequentReasonsAndCountsTheOthers) {
  auto report = Report(wire::SESSION_COMPLETE);
  for (std::size_t i = 0; i < kFailureReasonsMax + 2; ++i) report.add_failure_reasons()->set_instances(i);
  report.set_other_failure_reasons(3);
  const SummaryView view = SummaryOf(report);
  EXPECT_EQ(view.failure_reasons.size(), kFailureReasonsMax);
  EXPECT_EQ(view.other_failure_reasons, 5U);
}

TEST(SessionView, TheExitStatusReflectsTheEnd) {
  wire::SessionStatus status;
  const auto exit_status = [&status](wire::SessionState state) {
    status.set_state(state);
    return ExitStatusOf(status);
  };
  EXPECT_EQ(exit_status(wire::SESSION_COMPLETE), kExitAllStored);
  EXPECT_EQ(exit_status(wire::SESSION_UNREACHABLE), kExitDestination);
  EXPECT_EQ(exit_status(wire::SESSION_REFUSED), kExitDestination);
  EXPECT_EQ(exit_status(wire::SESSION_SUSPENDED), kExitInterrupted);
  EXPECT_EQ(exit_status(wire::SESSION_CANCELLED), kExitInterrupted);
  EXPECT_EQ(exit_status(wire::SESSION_SENDING), kExitInterrupted);
  auto* ignored = status.add_ignored();
  ignored->set_reason("empty");
  ignored->set_files(1);
  EXPECT_EQ(exit_status(wire::SESSION_COMPLETE), kExitAllStored);
  status.set_not_read_folders(1);
  EXPECT_EQ(exit_status(wire::SESSION_COMPLETE), kExitSomeFailed) << "its content is unknown";
  status.clear_not_read_folders();
  status.set_not_read_files(1);
  EXPECT_EQ(exit_status(wire::SESSION_COMPLETE), kExitSomeFailed);
  status.clear_not_read_files();
  status.set_skipped(1);
  EXPECT_EQ(exit_status(wire::SESSION_COMPLETE), kExitAllStored);
  status.set_conflicts(1);
  EXPECT_EQ(exit_status(wire::SESSION_COMPLETE), kExitSomeFailed);
  status.clear_conflicts();
  status.set_failed(1);
  EXPECT_EQ(exit_status(wire::SESSION_COMPLETE), kExitSomeFailed);
}

TEST(SessionView, EndsAreShown) {
  for (int state = wire::SessionState_MIN; state <= wire::SessionState_MAX; ++state) {
    const bool ongoing = state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING;
    EXPECT_EQ(HasEnded(static_cast<wire::SessionState>(state)), !ongoing) << state;
  }
}

TEST(SessionView, ProgressCountsStoredInstances) {
  wire::SessionStatus status;
  status.set_scan_complete(true);
  status.set_total(10);
  status.set_total_bytes(1000);
  status.set_stored(4);
  status.set_stored_bytes(400);
  status.set_failed(2);
  status.set_skipped(1);
  status.set_pending(3);
  status.set_settled_bytes(700);
  const ProgressView view = ProgressOf(status, Duration::zero());
  EXPECT_EQ(view.stored, 4U);
  EXPECT_EQ(view.bytes_stored, 400U);
  EXPECT_EQ(view.pending, 3U);
  EXPECT_EQ(view.bytes_pending, 300U);
  EXPECT_EQ(view.total(), 9U) << "skipped instances do not count";
}

TEST(SessionView, AStatusIsShownOnce) {
  wire::FailureList::Entry failure;
  failure.set_reason("A900 (dataset does not match SOP class): no");
  EXPECT_EQ(ReasonOf(failure), failure.reason());
  failure.set_status(0xA900);
  EXPECT_EQ(ReasonOf(failure), "(dataset does not match SOP class): no");
  EXPECT_EQ(DimseStatusText(0x107), "0107");
}

}  // namespace
}  // namespace dicom_sender
