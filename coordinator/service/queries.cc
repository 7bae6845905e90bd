#include "coordinator/service/queries.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "common/text.h"
#include "coordinator/service/replies.h"
#include "coordinator/summary/summary.h"
#include "coordinator/summary/summary_writer.h"
#include "proto/limits.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

std::string Counted(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

// A worker that is silent for this long counts as lost. Workers send their status at least every ten seconds.
constexpr std::chrono::seconds kSilentAfter(25);

std::string StateOf(const WorkerView& worker) {
  if (worker.capacity == 0 || worker.last_seen > kSilentAfter) return kWorkerLost;
  if (worker.draining) return kWorkerDraining;
  if (!worker.not_ready.empty()) return kWorkerNotReady;
  if (!worker.quarantined.empty()) return kWorkerQuarantined;
  return worker.leases > 0 ? kWorkerSending : kWorkerIdle;
}

bool HasDrained(const WorkerView& worker) { return worker.draining && worker.leases == 0; }

std::string StateOf(const DestinationView& destination) {
  if (destination.breaker_open) return kDestinationUnreachable;
  if (destination.limit) return kDestinationThrottled;
  return destination.trouble.empty() ? kDestinationReachable : kDestinationUnreachable;
}

template <class Message>
void PutPace(const SessionPace& pace, Message& message) {
  if (pace.rate) {
    message.set_instances_per_second(pace.rate->instances_per_second);
    message.set_bytes_per_second(pace.rate->bytes_per_second);
  }
  if (pace.left) {
    message.set_seconds_left(static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(*pace.left).count()));
  }
}

}  // namespace

wire::FailureList::Entry ToEntry(const ReportedInstance& failure) {
  wire::FailureList::Entry entry;
  entry.set_path(failure.path);
  entry.set_study_instance_uid(failure.study_instance_uid);
  entry.set_sop_instance_uid(failure.sop_instance_uid);
  if (failure.status) entry.set_status(*failure.status);
  entry.set_reason(ToValidUtf8(failure.reason));  // the reason may contain a path, which may not be UTF-8
  entry.set_attempts(failure.attempts);
  if (!failure.worker.empty()) entry.set_worker(failure.worker);
  if (failure.state == InstanceState::kConflict) entry.set_kind(wire::FailureList::Entry::KIND_CONFLICT);
  return entry;
}

wire::FailureList::Entry ToEntry(const UnreadPath& unread) {
  wire::FailureList::Entry entry;
  entry.set_path(unread.path);
  entry.set_reason(ToValidUtf8(unread.reason));
  entry.set_kind(wire::FailureList::Entry::KIND_NOT_READ);
  return entry;
}

wire::SessionStatus Queries::StatusOf(const SessionRecord& record, TimePoint now) const {
  wire::SessionStatus status = ToStatus(record);
  status.set_stopping(scheduler_.IsEnding(record.key));
  status.set_leases(scheduler_.LiveLeases(record.key));
  status.set_trouble(scheduler_.Trouble(record.key, now));
  status.set_waits_for(WaitsFor(status, now));
  return status;
}

// The text ends with what a person can do about it.
std::string Queries::WaitsFor(const wire::SessionStatus& status, TimePoint now) const {
  if (status.state() == wire::SESSION_SUSPENDED) {
    return fmt::format("{}; to continue: dicom-ctl resume {}", SessionStateWord(status.state()), status.session());
  }
  if (status.state() != wire::SESSION_SCANNING && status.state() != wire::SESSION_SENDING) return {};
  if (status.stopping()) {
    return fmt::format("{} that {} being sent, and then stops", Counted(status.leases(), "study", "studies"),
                       status.leases() == 1 ? "is" : "are");
  }
  if (!status.trouble().empty()) return status.trouble();
  if (status.leases() > 0) return {};
  const bool scans = !status.scan_complete();
  if (scans && (status.pending() == 0 || status.dispatch() == wire::DISPATCH_AFTER_SCAN)) {
    return "the scan; sending begins when it is complete";
  }
  return WaitsForWorkers(now);
}

std::string Queries::WaitsForWorkers(TimePoint now) const {
  std::map<std::string, std::size_t> in_state;
  bool any_free = false;
  std::size_t workers = 0;
  for (const WorkerView& worker : scheduler_.Workers(now)) {
    if (HasDrained(worker)) continue;
    ++workers;
    const std::string state = StateOf(worker);
    ++in_state[state];
    any_free |= (state == kWorkerIdle || state == kWorkerSending) && worker.leases < worker.capacity;
  }
  if (workers == 0) return "a worker: none is connected; start dicom-worker";
  if (in_state[kWorkerDraining] == workers) return "a worker: all of them are draining; start another dicom-worker";
  if (any_free) return "the next retry of what could not be sent";
  if (in_state[kWorkerIdle] + in_state[kWorkerSending] == 0) {
    return "a worker that can send; 'dicom-ctl workers' shows what is wrong with each of them";
  }
  return "a free worker: all of them are sending other studies";
}

wire::SessionStatus Queries::BriefStatusOf(const SessionRecord& record, TimePoint now) const {
  wire::SessionStatus status = StatusOf(record, now);
  status.clear_inputs();  // these two lists may be long
  status.clear_ignored();
  return status;
}

wire::ClientReply Queries::Status(const SessionRecord& session, TimePoint now) const {
  wire::ClientReply reply;
  *reply.mutable_session() = StatusOf(session, now);
  return reply;
}

wire::ClientReply Queries::Report(const SessionRecord& session, TimePoint now, WallTime wall) const {
  wire::ClientReply reply;
  *reply.mutable_report() = ToReport(ledger_, Summarize(ledger_, session, wall), StatusOf(session, now));
  for (const ScanRecord& scan : ledger_.Scans(session.key)) {
    if (!scan.complete) reply.mutable_report()->add_scanning(scan.indexer);
  }
  const SummaryFiles files = SummaryFilesOf(output_dir_, session);
  // While the session is open, an existing file is from an earlier end of the session.
  const bool written = !output_dir_.empty() && session.end_time && std::filesystem::exists(files.summary);
  if (written) {
    reply.mutable_report()->set_summary_file(files.summary);
    reply.mutable_report()->set_failures_file(files.failures);
  }
  return reply;
}

wire::ClientReply Queries::Summary(const SessionRecord& session, std::uint64_t offset) const {
  if (!session.end_time) {
    return Failed(
        fmt::format("session {} has not ended; its summary is written when it ends", session.settings.session()));
  }
  const std::string path = SummaryFilesOf(output_dir_, session).summary;
  std::ifstream file(path, std::ios::binary);
  std::string data(kSummaryPartBytes, '\0');
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(data.data(), static_cast<std::streamsize>(data.size()));
  if (output_dir_.empty() || !file.is_open() || file.bad()) {
    return Failed(fmt::format("the coordinator cannot read '{}'; check whether it was moved", path));
  }
  data.resize(static_cast<std::size_t>(file.gcount()));
  wire::ClientReply reply;
  if (data.size() == kSummaryPartBytes) reply.mutable_summary_part()->set_next_offset(offset + data.size());
  reply.mutable_summary_part()->set_data(std::move(data));
  return reply;
}

wire::ClientReply Queries::Studies(const SessionRecord& session, const wire::ListStudies& request) const {
  wire::ClientReply reply;
  auto* list = reply.mutable_studies();
  const std::size_t limit = std::min(request.limit(), kListedStudiesMax);
  for (const StudyRecord& study : ledger_.Studies(session.key, 0, limit)) {
    auto* entry = list->add_studies();
    entry->set_study_instance_uid(study.uid);
    entry->set_instances(study.counts.total);
  }
  return reply;
}

wire::ClientReply Queries::Copies(const SessionRecord& session, const wire::ListCopies& request) const {
  InstanceCursor cursor{.study = request.cursor().study(), .index = {}};
  if (request.cursor().has_index()) cursor.index = request.cursor().index();
  const std::size_t limit = std::clamp(request.limit(), 1U, std::uint32_t{kListedCopiesMax});
  wire::ClientReply reply;
  for (UncomparedCopy& copy : ledger_.CopiesToCompare(session.key, request.indexer(), cursor, limit)) {
    auto* entry = reply.mutable_copies()->add_copies();
    entry->set_study(copy.study);
    entry->set_index(copy.index);
    entry->set_path(std::move(copy.path));
    entry->set_original_path(std::move(copy.original_path));
  }
  reply.mutable_copies();
  return reply;
}

wire::ClientReply Queries::Failures(const SessionRecord& session, const wire::ListFailures& request) const {
  const std::size_t limit = std::clamp(request.limit(), 1U, kListedFailuresMax);
  wire::ClientReply reply;
  auto* list = reply.mutable_failures();
  if (!request.cursor().has_unread()) {
    InstanceCursor cursor{.study = request.cursor().study(), .index = {}};
    if (request.cursor().has_index()) cursor.index = request.cursor().index();
    const auto failures = ledger_.Report(session.key, kNotArrivedStates, cursor, limit);
    for (const ReportedInstance& failure : failures) *list->add_failures() = ToEntry(failure);
    if (failures.size() == limit) {
      list->mutable_next()->set_study(failures.back().study);
      list->mutable_next()->set_index(failures.back().index);
      return reply;
    }
  }
  const std::size_t room = limit - static_cast<std::size_t>(list->failures_size());
  const auto unread = ledger_.Unread(session.key, request.cursor().unread(), room);
  for (const UnreadPath& path : unread) *list->add_failures() = ToEntry(path);
  if (unread.size() == room) list->mutable_next()->set_unread(unread.back().path);
  return reply;
}

wire::ClientReply Queries::Sessions(const wire::ListSessions& request, TimePoint now) const {
  const std::size_t limit = std::clamp(request.limit(), 1U, kListedSessionsMax);
  std::vector<SessionKey> keys = ledger_.Sessions();
  wire::ClientReply reply;
  auto* list = reply.mutable_sessions();
  for (auto key = std::upper_bound(keys.begin(), keys.end(), request.after()); key != keys.end(); ++key) {
    if (static_cast<std::size_t>(list->sessions_size()) == limit) break;
    const SessionRecord record = ledger_.LoadSession(*key);
    auto* entry = list->add_sessions();
    entry->set_key(*key);
    entry->set_start_ms(record.start_time.time_since_epoch().count());
    *entry->mutable_status() = BriefStatusOf(record, now);
    PutPace(paces_.Of(*key), *entry);
  }
  return reply;
}

std::string Queries::InWords(const QuarantineSubject& subject) const {
  if (const auto* destination = std::get_if<std::string>(&subject)) return "destination " + *destination;
  return "the files of session " + ledger_.LoadSession(std::get<SessionKey>(subject)).settings.session();
}

wire::ClientReply Queries::Workers(TimePoint now) const {
  wire::ClientReply reply;
  auto* list = reply.mutable_workers();
  std::size_t drained = 0;
  for (const WorkerView& worker : scheduler_.Workers(now)) {
    drained += HasDrained(worker);
    if (HasDrained(worker) || static_cast<std::size_t>(list->workers_size()) == kListedWorkersMax) continue;
    auto* entry = list->add_workers();
    entry->set_worker(worker.worker);
    entry->set_capacity(worker.capacity);
    entry->set_leases(worker.leases);
    entry->set_draining(worker.draining);
    entry->set_not_ready(worker.not_ready);
    for (const QuarantineView& view : worker.quarantined) {
      auto* quarantined = entry->add_quarantined();
      quarantined->set_what(InWords(view.subject));
      quarantined->set_reason(view.reason);
    }
    entry->set_last_seen_ms(WholeMilliseconds(worker.last_seen));
    entry->set_state(StateOf(worker));
  }
  list->set_total(scheduler_.worker_count() - drained);
  return reply;
}

wire::ClientReply Queries::Destinations(TimePoint now) const {
  wire::ClientReply reply;
  auto* list = reply.mutable_destinations();
  for (const DestinationView& destination : scheduler_.Destinations(now)) {
    auto* entry = list->add_destinations();
    entry->set_destination(destination.destination);
    entry->set_leases(destination.leases);
    entry->set_ready(destination.ready);
    if (destination.limit) entry->set_limit(*destination.limit);
    entry->set_breaker_open(destination.breaker_open);
    entry->set_trouble(destination.trouble);
    entry->set_state(StateOf(destination));
  }
  return reply;
}

wire::Overview Queries::Overview(std::span<const SessionRecord> open, const std::set<SessionKey>& suspended,
                                 TimePoint now, WallTime wall) const {
  const std::int64_t at_ms = wall.time_since_epoch().count();
  wire::Overview overview;
  wire::SessionsPage& page = *overview.mutable_sessions();
  page.set_at_ms(at_ms);
  const auto show = [&](const SessionRecord& record) {
    auto* shown = page.add_sessions();
    shown->set_start_ms(record.start_time.time_since_epoch().count());
    if (record.end_time) shown->set_end_ms(record.end_time->time_since_epoch().count());
    *shown->mutable_status() = BriefStatusOf(record, now);
    shown->set_destination(DestinationText(record.settings.destination()));
    PutPace(paces_.Of(record.key), *shown);
  };
  for (auto record = open.rbegin(); record != open.rend(); ++record) show(*record);
  std::size_t shown = 0;
  for (auto key = suspended.rbegin(); key != suspended.rend() && shown < kShownSuspendedMax; ++key, ++shown) {
    show(ledger_.LoadSession(*key));
  }
  const std::vector<SessionKey> keys = ledger_.Sessions();
  shown = 0;
  for (auto key = keys.rbegin(); key != keys.rend() && shown < kShownEndedMax; ++key) {
    if (suspended.contains(*key) || std::ranges::binary_search(open, *key, {}, &SessionRecord::key)) continue;
    show(ledger_.LoadSession(*key));
    ++shown;
  }
  page.set_not_shown(keys.size() - static_cast<std::size_t>(page.sessions_size()));

  wire::ClientReply workers = Workers(now);
  overview.mutable_workers()->set_at_ms(at_ms);
  overview.mutable_workers()->set_total(workers.workers().total());
  overview.mutable_workers()->mutable_workers()->Swap(workers.mutable_workers()->mutable_workers());
  wire::ClientReply destinations = Destinations(now);
  overview.mutable_destinations()->set_at_ms(at_ms);
  overview.mutable_destinations()->mutable_destinations()->Swap(
      destinations.mutable_destinations()->mutable_destinations());
  return overview;
}

}  // namespace dicom_sender
