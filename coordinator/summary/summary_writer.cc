#include "coordinator/summary/summary_writer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/log.h"
#include "coordinator/summary/atomic_file.h"
#include "coordinator/summary/summary_document.h"
#include "proto/session_state.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kPauseMin(1), kPauseMax(60);

std::string FilesBegin(const std::string& output_dir, const SessionRecord& session) {
  return fmt::format("{}/dicom_sender_summary_{}", output_dir, session.settings.session());
}
std::string FailuresFile(const std::string& output_dir, const SessionRecord& session) {
  return FilesBegin(output_dir, session) + "_failures.ndjson";
}

// The session may have ended with failures before it was resumed.
tl::expected<void, std::string> RemoveFailures(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return tl::unexpected(fmt::format("'{}' cannot be removed: {}", path, std::strerror(errno)));
}

// A file that is older than the end of the session was written when the session ended before.
bool IsThere(const std::string& summary, WallTime ended) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(summary, error);
  return !error && std::chrono::file_clock::to_sys(written) >= ended;
}

void LogEnd(const SessionSummary& summary, const std::string& file) {
  const SessionRecord& session = summary.session;
  const Counts& counts = session.counts;
  const std::string& uuid = session.settings.session();
  spdlog::info("Session {} ended: {} files, {} stored, {} failed, {} skipped, {} not sent yet; summary {}", uuid,
               counts.total, counts.successful(), counts.failed, counts.skipped, summary.pending(), file);
  if (session.end_reason.empty()) return;
  const bool asked_for = session.state == wire::SESSION_CANCELLED;
  spdlog::log(asked_for ? spdlog::level::info : spdlog::level::warn, "Session {} ended early: {}", uuid,
              session.end_reason);
}

}  // namespace

SummaryFiles SummaryFilesOf(const std::string& output_dir, const SessionRecord& session) {
  return {.summary = FilesBegin(output_dir, session) + ".json",
          .failures = HasAllArrived(session) ? std::string() : FailuresFile(output_dir, session)};
}

tl::expected<SummaryFiles, std::string> SummaryWriter::WriteOnce(const SessionSummary& summary) {
  const SessionRecord& session = summary.session;
  SummaryFiles files = SummaryFilesOf(output_dir_, session);
  if (files.failures.empty()) {
    const auto removed = RemoveFailures(FailuresFile(output_dir_, session));
    if (!removed) return tl::unexpected(removed.error());
  } else {
    AtomicFile failures(files.failures);
    WriteFailuresTo(failures, ledger_, session.key, progress_);
    if (const auto committed = failures.Commit(); !committed) return tl::unexpected(committed.error());
  }
  AtomicFile file(files.summary);
  WriteSummaryTo(file, ledger_, summary, progress_);
  if (const auto committed = file.Commit(); !committed) return tl::unexpected(committed.error());
  return files;
}

void SummaryWriter::Write(SessionKey session, TimePoint now) { Write(ledger_.LoadSession(session), now); }

void SummaryWriter::Write(SessionRecord session, TimePoint now) {
  const SessionSummary summary = Summarize(ledger_, std::move(session), WallNow());
  const ScopedLogFields fields({.session = summary.session.settings.session()});
  const auto files = WriteIfFolderIsThere(summary);
  LogEnd(summary, files ? files->summary : "could not be written");
  if (files) {
    std::erase(unwritten_, summary.session.key);
  } else {
    Failed(summary.session, files.error(), now);
  }
}

// Checks the folder first, to avoid reading the session for nothing.
tl::expected<SummaryFiles, std::string> SummaryWriter::WriteIfFolderIsThere(const SessionSummary& summary) {
  if (access(output_dir_.c_str(), W_OK | X_OK) != 0) {
    return tl::unexpected(fmt::format("'{}' cannot be written: {}", output_dir_, std::strerror(errno)));
  }
  return WriteOnce(summary);
}

void SummaryWriter::Failed(const SessionRecord& session, const std::string& why, TimePoint now) {
  pause_ = std::clamp<Duration>(pause_ * 2, kPauseMin, kPauseMax);
  retry_at_ = now + pause_;
  std::erase(unwritten_, session.key);
  unwritten_.push_back(session.key);
  const ScopedLogFields fields({.session = session.settings.session()});
  spdlog::error("--output-dir: the summary of session {} was not written: {}; fix that, the next retry is in {} s",
                session.settings.session(), why, std::chrono::duration<double>(pause_).count());
}

void SummaryWriter::Retry(TimePoint now) {
  if (unwritten_.empty() || now < retry_at_) return;
  SessionRecord session = ledger_.LoadSession(unwritten_.front());
  if (!HasEnded(session.state)) {  // it was resumed, so it gets a summary when it ends again
    unwritten_.pop_front();
    return;
  }
  const SessionSummary summary = Summarize(ledger_, std::move(session), WallNow());
  const auto files = WriteIfFolderIsThere(summary);
  if (!files) return Failed(summary.session, files.error(), now);
  const ScopedLogFields fields({.session = summary.session.settings.session()});
  spdlog::info("The summary of session {} was written on a retry: {}", summary.session.settings.session(),
               files->summary);
  unwritten_.pop_front();
  pause_ = {};
}

bool SummaryWriter::WriteNextMissing(TimePoint now) {
  if (!unseen_) unseen_ = ledger_.Sessions();
  if (unseen_->empty()) return false;
  SessionRecord session = ledger_.LoadSession(unseen_->back());
  unseen_->pop_back();
  const bool is_missing =
      session.end_time && !IsThere(SummaryFilesOf(output_dir_, session).summary, *session.end_time);
  if (is_missing) Write(std::move(session), now);
  return !unseen_->empty();
}

}  // namespace dicom_sender
