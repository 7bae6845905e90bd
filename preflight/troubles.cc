#include "preflight/troubles.h"

#include <array>

namespace dicom_sender {
namespace {

void ForEach(Ledger& ledger, SessionKey session, InstanceState state, const UseInstance& use) {
  constexpr std::size_t kPage = 1000;
  const std::array states = {state};
  for (InstanceCursor last;;) {
    const auto instances = ledger.Report(session, states, last, kPage);
    if (instances.empty()) return;
    for (const ReportedInstance& instance : instances) use(instance);
    last = {instances.back().study, instances.back().index};
  }
}

bool IsConflict(const std::string& reason) {
  return reason.starts_with("conflict") || reason.starts_with("same SOP Instance UID but another size");
}

}  // namespace

void ForEachDefective(Ledger& ledger, const SessionRecord& session, const UseInstance& use) {
  ForEach(ledger, session.key, InstanceState::kFailed, use);
}

void ForEachConflict(Ledger& ledger, const SessionRecord& session, const UseInstance& use) {
  if (session.counts.conflicts == 0) return;  // the duplicates may be many
  ForEach(ledger, session.key, InstanceState::kSkipped, [&use](const ReportedInstance& instance) {
    if (IsConflict(instance.reason)) use(instance);
  });
}

std::map<std::string, std::uint64_t> NotReadByReason(const SessionRecord& session) {
  std::map<std::string, std::uint64_t> not_read;
  for (const auto& [reason, files] : session.ignored) {
    if (reason.starts_with("unreadable") && files > 0) not_read[reason] = files;
  }
  return not_read;
}

}  // namespace dicom_sender
