#include "coordinator/program/summary_writer.h"

#include <spdlog/spdlog.h>

#include <filesystem>

#include "coordinator/summary/summary.h"

namespace dicom_sender {
namespace {

// One that is older is of an earlier end of the session.
bool IsThere(const std::string& summary, WallTime ended) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(summary, error);
  return !error && std::chrono::file_clock::to_sys(written) >= ended;
}

}  // namespace

void SummaryWriter::Write(SessionKey session) {
  const SessionSummary summary = Summarise(ledger_, session, WallNow());
  const Counts& counts = summary.session.counts;
  const auto threads = static_cast<unsigned>(summary.workers.threads);
  const auto files = WriteSummary(ledger_, summary, output_dir_, threads, progress_);
  spdlog::info("Session {} ended: {} files, {} stored, {} failed, {} skipped, {} not sent yet; summary {}",
               summary.session.settings.session(), counts.total, counts.successful(), counts.failed, counts.skipped,
               summary.pending(), files ? files->summary : "could not be written");
  if (!files) spdlog::error("{}; it is written when the coordinator is started again", files.error());
}

bool SummaryWriter::WriteNextMissing() {
  if (!unseen_) unseen_ = ledger_.Sessions();
  if (unseen_->empty()) return false;
  const SessionKey session = unseen_->back();
  unseen_->pop_back();
  const SessionRecord record = ledger_.LoadSession(session);
  if (record.end_time && !IsThere(SummaryFilesOf(output_dir_, record).summary, *record.end_time)) Write(session);
  return !unseen_->empty();
}

}  // namespace dicom_sender
