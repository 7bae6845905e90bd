#include "coordinator/service/recent_failures.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "common/text.h"
#include "coordinator/service/queries.h"
#include "coordinator/summary/summary.h"

namespace dicom_sender {

void RecentFailures::Push(Entry entry) {
  entries_.push_front(std::move(entry));
  if (entries_.size() > kMax) entries_.pop_back();
}

void RecentFailures::Add(SessionKey session, const std::string& uuid, const InstanceChange& change, WallTime now) {
  Entry entry{.unread = Place{session, change.study, change.index}, .failure = {}};
  entry.failure.set_session(uuid);
  entry.failure.set_time_ms(now.time_since_epoch().count());
  Push(std::move(entry));
}

void RecentFailures::AddDefects(const wire::PublishBatch& batch, WallTime now) {
  std::map<std::uint32_t, std::string> roots;
  for (const auto& root : batch.roots()) roots[root.id()] = root.path();
  for (const auto& study : batch.studies()) {
    for (const auto& instance : study.instances()) {
      if (instance.defect().empty()) continue;
      wire::RecentFailure failure;
      failure.set_time_ms(now.time_since_epoch().count());
      failure.set_session(batch.session());
      failure.mutable_failure()->set_path(JoinPath(roots[instance.root()], instance.path()));
      failure.mutable_failure()->set_study_instance_uid(study.study_instance_uid());
      failure.mutable_failure()->set_sop_instance_uid(instance.sop_instance_uid());
      failure.mutable_failure()->set_reason(instance.defect());
      const auto is_known = [&failure](const Entry& entry) {
        return entry.failure.session() == failure.session() &&
               entry.failure.failure().path() == failure.failure().path();
      };
      if (std::ranges::none_of(entries_, is_known)) Push({.unread = std::nullopt, .failure = std::move(failure)});
    }
  }
}

wire::FailuresPage RecentFailures::Page(LedgerReader& ledger, WallTime now) {
  wire::FailuresPage page;
  page.set_at_ms(now.time_since_epoch().count());
  // An instance that is no longer failed was requeued, so its entry is dropped.
  std::erase_if(entries_, [&ledger](Entry& entry) {
    if (!entry.unread) return false;
    const Place place = *std::exchange(entry.unread, std::nullopt);
    InstanceCursor before{.study = place.study, .index = {}};
    if (place.index > 0) before.index = place.index - 1;
    const auto found = ledger.Report(place.session, kFailedStates, before, 1);
    if (found.empty() || found[0].study != place.study || found[0].index != place.index) return true;
    *entry.failure.mutable_failure() = ToEntry(found[0]);
    return false;
  });
  for (const Entry& entry : entries_) *page.add_failures() = entry.failure;
  return page;
}

}  // namespace dicom_sender
