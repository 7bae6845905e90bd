#include "coordinator/summary/summary_writer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/log.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kPauseMin(1), kPauseMax(60);

// One that is older is of an earlier end of the session.
bool IsThere(const std::string& summary, WallTime ended) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(summary, error);
  return !error && std::chrono::file_clock::to_sys(written) >= ended;
}

bool HasEnded(const SessionRecord& session) {
  return session.state != wire::SESSION_SCANNING && session.state != wire::SESSION_SENDING;
}

}  // namespace

void SummaryWriter::Write(SessionKey session, TimePoint now) {
  const SessionSummary summary = Summarise(ledger_, session, WallNow());
  const Counts& counts = summary.session.counts;
  const ScopedLogFields fields({.session = summary.session.settings.session()});
  const auto files = TryToWrite(summary);
  spdlog::info("Session {} ended: {} files, {} stored, {} failed, {} skipped, {} not sent yet; summary {}",
               summary.session.settings.session(), counts.total, counts.successful(), counts.failed, counts.skipped,
               summary.pending(), files ? files->summary : "could not be written");
  if (!summary.session.end_reason.empty()) {
    const bool asked_for = summary.session.state == wire::SESSION_CANCELLED;
    spdlog::log(asked_for ? spdlog::level::info : spdlog::level::warn, "Session {} ended early: {}",
                summary.session.settings.session(), summary.session.end_reason);
  }
  if (files) {
    std::erase(unwritten_, session);
  } else {
    Failed(session, summary, files.error(), now);
  }
}

tl::expected<SummaryFiles, std::string> SummaryWriter::TryToWrite(const SessionSummary& summary) {
  // Without the folder there is no need to read the whole session first.
  if (access(output_dir_.c_str(), W_OK | X_OK) != 0) {
    return tl::unexpected(fmt::format("'{}' cannot be written: {}", output_dir_, std::strerror(errno)));
  }
  return WriteSummary(ledger_, summary, output_dir_, static_cast<unsigned>(summary.workers.threads), progress_);
}

void SummaryWriter::Failed(SessionKey session, const SessionSummary& summary, const std::string& why, TimePoint now) {
  pause_ = std::clamp<Duration>(pause_ * 2, kPauseMin, kPauseMax);
  retry_at_ = now + pause_;
  std::erase(unwritten_, session);
  unwritten_.push_back(session);
  const ScopedLogFields fields({.session = summary.session.settings.session()});
  spdlog::error("--output-dir: the summary of session {} is not written: {}; mend that, it is tried again in {} s",
                summary.session.settings.session(), why, std::chrono::duration<double>(pause_).count());
}

void SummaryWriter::Retry(TimePoint now) {
  if (unwritten_.empty() || now < retry_at_) return;
  const SessionKey session = unwritten_.front();
  const SessionSummary summary = Summarise(ledger_, session, WallNow());
  if (!HasEnded(summary.session)) {  // it goes on, and has another summary at its next end
    unwritten_.pop_front();
    return;
  }
  const auto files = TryToWrite(summary);
  if (!files) return Failed(session, summary, files.error(), now);
  const ScopedLogFields fields({.session = summary.session.settings.session()});
  spdlog::info("The summary of session {} is written after all: {}", summary.session.settings.session(),
               files->summary);
  unwritten_.pop_front();
  pause_ = {};
}

bool SummaryWriter::WriteNextMissing(TimePoint now) {
  if (!unseen_) unseen_ = ledger_.Sessions();
  if (unseen_->empty()) return false;
  const SessionKey session = unseen_->back();
  unseen_->pop_back();
  const SessionRecord record = ledger_.LoadSession(session);
  if (record.end_time && !IsThere(SummaryFilesOf(output_dir_, record).summary, *record.end_time)) Write(session, now);
  return !unseen_->empty();
}

}  // namespace dicom_sender
