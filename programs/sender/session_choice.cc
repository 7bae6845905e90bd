#include "programs/sender/session_choice.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/time.h"
#include "programs/sender/program_settings.h"
#include "programs/sender/session_folder.h"
#include "session/session_settings.h"

namespace dicom_sender {
namespace {

// A folder may have many old ledgers. A session worth continuing is among the latest.
constexpr std::size_t kLooksMax = 200;
constexpr std::size_t kListedIdsMax = 10;

using Chosen = tl::expected<ChosenSession, Failure>;

tl::unexpected<Failure> Refuse(std::string sentence) {
  return tl::unexpected(Failure{kExitUsage, std::move(sentence)});
}

tl::unexpected<Failure> IsRunning(const std::string& session) {
  return Refuse(
      fmt::format("session {} is running already (its ledger is in use): wait for its end, or stop it with "
                  "Ctrl-C",
                  session));
}

// Compares the inputs in any order, the destination, the calling AE title, and `recursive`.
bool IsAbout(const wire::OpenSession& known, const wire::OpenSession& wanted) {
  const auto inputs = [](const wire::OpenSession& settings) {
    std::vector<std::string> sorted(settings.inputs().begin(), settings.inputs().end());
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  };
  const auto& a = known.destination();
  const auto& b = wanted.destination();
  return a.called_ae() == b.called_ae() && a.calling_ae() == b.calling_ae() && a.host() == b.host() &&
         a.port() == b.port() && known.recursive() == wanted.recursive() && inputs(known) == inputs(wanted);
}

// `found` is not in use.
ChosenSession Continue(SenderOptions options, const FolderSession& found) {
  options.resume = found.file.session;
  if (found.record) TakeOver(found.record->settings.program(), options);
  return {.options = std::move(options), .notice = {}, .warnings = {}};
}

std::string NoticeOf(const FolderSession& found, const std::vector<LedgerFile>& files) {
  const SessionRecord& record = *found.record;
  return fmt::format("Continuing session {} of {}: {} of {} stored{}; --new starts a new one\n",
                     ShortId(found.file.session, files), FormatRfc3339(record.start_time), record.counts.successful(),
                     record.counts.total, record.scan_complete ? ", files added since its scan are not sent" : "");
}

// The latest session that has the same input and destination, if it is unfinished.
Chosen ChooseForInput(SenderOptions options) {
  const wire::OpenSession wanted = NewSessionSettings(options, {});
  const auto files = LedgersIn(options.output_dir);
  std::size_t looks = 0, problems = 0;
  std::string problem;
  std::optional<FolderSession> found;
  for (const LedgerFile& file : files) {
    if (++looks > kLooksMax) break;
    FolderSession session = LookAt(file);
    if (!session.problem.empty() && ++problems == 1) problem = session.problem;
    if (!session.record || !IsAbout(session.record->settings, wanted)) continue;
    // A later dry run must not hide a session that has stored something and was interrupted.
    const bool has_begun = session.in_use || session.record->counts.successful() > 0;
    if (!found || session.in_use || (has_begun && IsUnfinished(*session.record))) found = std::move(session);
    if (has_begun) break;
  }
  ChosenSession chosen{.options = std::move(options), .notice = {}, .warnings = {}};
  if (found && found->in_use) return IsRunning(found->file.session);
  if (found && IsUnfinished(*found->record)) {
    chosen = Continue(std::move(chosen.options), *found);
    chosen.notice = NoticeOf(*found, files);
  }
  if (!found && looks > kLooksMax) {
    chosen.warnings.push_back(
        fmt::format("only the {} latest of {} sessions in the output folder were checked: if another one for this "
                    "input is unfinished, name it with --resume",
                    kLooksMax, files.size()));
  }
  if (problems == 1) chosen.warnings.push_back(problem + "; it stays unchanged");
  if (problems > 1) {
    chosen.warnings.push_back(fmt::format("{}; it and {} more stay unchanged", problem, problems - 1));
  }
  return chosen;
}

// The latest session that is unfinished or, with --retry-failed, has failures.
Chosen ChooseLatest(SenderOptions options) {
  const auto files = LedgersIn(options.output_dir);
  std::optional<FolderSession> latest;
  std::size_t looks = 0;
  for (const LedgerFile& file : files) {
    if (++looks > kLooksMax) break;
    FolderSession session = LookAt(file);
    if (session.in_use) return IsRunning(session.file.session);
    if (!session.record) continue;
    const bool failed = options.retry_failed && session.record->counts.failed > 0;
    if (IsUnfinished(*session.record) || failed) return Continue(std::move(options), session);
    if (!latest) latest = std::move(session);
  }
  const std::string where = options.given.contains("output-dir") ? fmt::format(" in '{}'", options.output_dir) : "";
  if (!latest) {
    return Refuse(fmt::format("no session{} to continue: is it in another --output-dir?", where));
  }
  const std::uint64_t failed = latest->record->counts.failed;
  return Refuse(fmt::format("no session{} is unfinished: the latest, {}, is {}{}", where,
                            ShortId(latest->file.session, files),
                            latest->record->state == wire::SESSION_CANCELLED ? "cancelled" : "complete",
                            failed > 0 ? fmt::format(" with {} failed; add --retry-failed to try them again", failed)
                                       : "; run its command again to send everything again"));
}

Chosen ChooseById(SenderOptions options) {
  const std::string& id = *options.resume;
  std::vector<LedgerFile> files = LedgersIn(options.output_dir);
  std::erase_if(files, [&](const LedgerFile& file) { return !file.session.starts_with(id); });
  if (files.empty()) {
    return Refuse(fmt::format(
        "session '{}' has no ledger in '{}': is it in another --output-dir? 'dicom-sender sessions' lists "
        "those of a folder",
        id, options.output_dir));
  }
  if (files.size() > 1) {
    std::string ids;
    for (std::size_t i = 0; i < std::min(files.size(), kListedIdsMax); ++i) ids += " " + files[i].session;
    return Refuse(fmt::format("{} sessions begin with {}: give more of the ID:{}{}", files.size(), id, ids,
                              files.size() > kListedIdsMax ? " ..." : ""));
  }
  const FolderSession found = LookAt(files[0]);
  if (found.in_use) return IsRunning(found.file.session);
  return Continue(std::move(options), found);
}

}  // namespace

tl::expected<ChosenSession, Failure> ChooseSession(SenderOptions options) {
  if (options.resume)
    return *options.resume == kLatest ? ChooseLatest(std::move(options)) : ChooseById(std::move(options));
  if (!options.start_new) return ChooseForInput(std::move(options));
  return ChosenSession{.options = std::move(options), .notice = {}, .warnings = {}};
}

}  // namespace dicom_sender
