#include "preflight/troubles.h"

#include <array>

namespace dicom_sender {
namespace {

constexpr std::size_t kPage = 1000;

void ForEach(LedgerReader& ledger, SessionKey session, InstanceState state, const UseInstance& use) {
  const std::array states = {state};
  for (InstanceCursor last;;) {
    const auto instances = ledger.Report(session, states, last, kPage);
    if (instances.empty()) return;
    for (const ReportedInstance& instance : instances) use(instance);
    last = {instances.back().study, instances.back().index};
  }
}

}  // namespace

void ForEachDefective(LedgerReader& ledger, const SessionRecord& session, const UseInstance& use) {
  ForEach(ledger, session.key, InstanceState::kFailed, use);
}

void ForEachConflict(LedgerReader& ledger, const SessionRecord& session, const UseInstance& use) {
  ForEach(ledger, session.key, InstanceState::kConflict, use);
}

void ForEachNotRead(LedgerReader& ledger, const SessionRecord& session, const UseUnread& use) {
  for (std::string last;;) {
    const auto paths = ledger.Unread(session.key, last, kPage);
    if (paths.empty()) return;
    for (const UnreadPath& path : paths) use(path);
    last = paths.back().path;
  }
}

std::uint64_t CountNotRead(const SessionRecord& session) {
  std::uint64_t not_read = 0;
  for (const auto& [reason, files] : session.ignored) not_read += IsUnreadable(reason) ? files : 0;
  return not_read;
}

std::map<std::string, std::uint64_t> IgnoredByReason(const SessionRecord& session) {
  auto ignored = session.ignored;
  std::erase_if(ignored, [](const auto& entry) { return IsUnreadable(entry.first); });
  return ignored;
}

}  // namespace dicom_sender
