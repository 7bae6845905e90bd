#include "tests/sim/checker.h"

#include "dicom/dimse_status.h"

namespace dicom_sender {
namespace {

constexpr InstanceState kAllStates[] = {
    InstanceState::kPending, InstanceState::kDelayed, InstanceState::kStored,  InstanceState::kStoredWithWarning,
    InstanceState::kFailed,  InstanceState::kSkipped, InstanceState::kConflict};

bool IsStored(InstanceState state) {
  return state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
}

template <class... Args>
void Check(bool holds, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) throw Violation(fmt::format(format, std::forward<Args>(args)...));
}

bool IsLeftOut(InstanceState state) { return state == InstanceState::kSkipped || state == InstanceState::kConflict; }

void Count(Counts& counts, InstanceState state, std::uint64_t size) {
  ++counts.total;
  counts.total_bytes += size;
  counts.stored += state == InstanceState::kStored;
  counts.warned += state == InstanceState::kStoredWithWarning;
  counts.failed += state == InstanceState::kFailed;
  counts.skipped += IsLeftOut(state);
  counts.conflicts += state == InstanceState::kConflict;
  counts.stored_bytes += IsStored(state) ? size : 0;
  counts.settled_bytes += IsSettled(state) ? size : 0;
}

void CheckCounts(const char* of, const Counts& kept, const Counts& counted) {
  Check(kept.total == counted.total && kept.stored == counted.stored && kept.warned == counted.warned &&
            kept.failed == counted.failed && kept.skipped == counted.skipped && kept.conflicts == counted.conflicts &&
            kept.total_bytes == counted.total_bytes && kept.stored_bytes == counted.stored_bytes &&
            kept.settled_bytes == counted.settled_bytes,
        "the counts of a {} are not those of its instances: {} of {} settled, counted {} of {}", of,
        kept.total - kept.unsettled(), kept.total, counted.total - counted.unsettled(), counted.total);
}

}  // namespace

void Checker::Published(const std::string& peer, std::uint64_t request_id, const wire::PublishBatch& batch) {
  auto& paths = published_[{peer, request_id}];
  paths.clear();
  for (const auto& study : batch.studies()) {
    for (const auto& instance : study.instances()) paths.push_back(kSimRoot + instance.path());
  }
}

void Checker::Reported(const wire::Report& report) {
  auto& stored = reported_stored_[{report.lease_id(), report.seq()}];
  stored.clear();
  for (const auto& outcome : report.outcomes()) {
    if (outcome.kind() != wire::Outcome::RESPONDED) continue;
    const auto verdict = JudgeStoreStatus(static_cast<std::uint16_t>(outcome.status()));
    if (verdict == StatusVerdict::kStored || verdict == StatusVerdict::kStoredWithWarning) {
      stored.push_back(outcome.index());
    }
  }
}

void Checker::Announced(const std::string& peer, const wire::WorkerStatus& status) {
  if (status.draining()) draining_statuses_.insert({peer, status.seq()});
}

void Checker::Commanded(const std::string& peer, const wire::ClientRequest& command) {
  commands_[{peer, command.request_id()}] = command;
}

void Checker::Scanned(const wire::ScanComplete& scan) { scans_[scan.session()][scan.indexer()].ended = scan.scan(); }

// --- the ledger

void Checker::Restarted(Ledger& ledger) {
  // Reads each record again by name, so that a promise is checked against the current state of the ledger.
  known_.clear();
  drained_.clear();
  peers_.clear();
  last_answered_.clear();
  for (auto& [key, rows] : studies_) {
    for (Row& row : rows) row.file = nullptr;
  }
  for (const SessionKey key : ledger.Sessions()) CheckSession(ledger, ledger.LoadSession(key));
  CheckPromises(ledger);
}

void Checker::Committed(Ledger& ledger, const Service& service) {
  service.CheckInvariants();
  for (const SessionKey key : ledger.Sessions()) CheckSession(ledger, ledger.LoadSession(key));
}

void Checker::CheckSession(Ledger& ledger, const SessionRecord& session) {
  SessionRecord& before = sessions_[session.key];
  Check(session.counts.total >= before.counts.total, "instances have disappeared from the ledger");
  Check(session.counts.resends >= before.counts.resends, "resends have been forgotten");
  Counts counted;
  for (const StudyRecord& study : ledger.Studies(session.key, 0, SIZE_MAX >> 1)) {
    CheckStudy(ledger, study, counted);
  }
  CheckCounts("session", session.counts, counted);
  for (const auto& [indexer, scans] : scans_[session.settings.session()]) {
    Check(session.state != wire::SESSION_COMPLETE || scans.begun <= scans.ended,
          "a session is complete while indexer {} scans", indexer);
  }
  if (session.state != before.state) CheckEnd(session);
  if (session.state == wire::SESSION_COMPLETE) CheckCopies(session);
  before = session;
}

// No instance may be failed for good while a copy of it has not been tried.
void Checker::CheckCopies(const SessionRecord& session) {
  std::map<std::string, const Row*> failed, untried;  // by SOP Instance UID
  for (const auto& [key, rows] : studies_) {
    for (const Row& row : rows) {
      if (!row.file || row.file->defect) continue;
      if (fmt::format("session-{}", row.file->session) != session.settings.session()) continue;
      if (row.state == InstanceState::kFailed) failed[row.file->sop_instance_uid] = &row;
      if (IsLeftOut(row.state) && !row.was_to_be_sent) untried[row.file->sop_instance_uid] = &row;
    }
  }
  for (const auto& [uid, row] : failed) {
    Check(!untried.contains(uid), "{} has failed, and its copy was not tried", row->file->path);
  }
}

// Long after the last fault that was not caused by a study or a worker, no session with good instances may end early.
void Checker::CheckEnd(const SessionRecord& session) {
  constexpr std::chrono::seconds kLong(300);
  if (session.state != wire::SESSION_UNREACHABLE && session.state != wire::SESSION_REFUSED) return;
  if (!world_.calm || world_.now() < world_.calm_since + kLong + world_.plan.retry_for) return;
  for (const auto& [key, rows] : studies_) {
    for (const Row& row : rows) {
      const bool ours = fmt::format("session-{}", row.file->session) == session.settings.session();
      const bool good = world_.fates.at(row.file->study) == StudyFate::kGood;
      Check(!ours || !good || IsSettled(row.state),
            "session {} has ended as {} with {} unsent, though nothing is wrong with it", session.settings.session(),
            wire::SessionState_Name(session.state), row.file->path);
    }
  }
}

void Checker::CheckStudy(Ledger& ledger, const StudyRecord& study, Counts& session) {
  std::vector<Row>& rows = studies_[study.key];
  Check(study.counts.total >= rows.size(), "instances have disappeared from study {}", study.uid);
  LearnRows(ledger, study, rows);
  std::vector<std::uint32_t> indices(rows.size());
  for (std::uint32_t i = 0; i < indices.size(); ++i) indices[i] = i;
  const auto facts = ledger.LoadInstances(study.key, indices);
  Check(facts.size() == rows.size(), "instances have disappeared from study {}", study.uid);
  Counts counted;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Row& row = rows[i];
    if (facts[i].state != row.state || facts[i].attempts != row.attempts) CheckRow(row, facts[i]);
    row.state = facts[i].state;
    row.was_to_be_sent |= !IsSettled(row.state);
    row.attempts = facts[i].attempts;
    Count(counted, row.state, row.file->size_bytes);
    Count(session, row.state, row.file->size_bytes);
  }
  CheckCounts("study", study.counts, counted);
}

void Checker::LearnRows(Ledger& ledger, const StudyRecord& study, std::vector<Row>& rows) {
  if (rows.size() == study.counts.total && (rows.empty() || rows.back().file)) return;
  rows.resize(study.counts.total);
  for (const auto& instance : ledger.Report(study.session, kAllStates, {study.key, {}}, rows.size())) {
    if (instance.study != study.key) break;
    const auto file = world_.files.find(instance.path);
    Check(file != world_.files.end(), "{} was never found by an indexer", instance.path);
    Check(file->second.study == study.uid, "{} is in another study", instance.path);
    const bool is_new = rows.at(instance.index).file == nullptr;
    rows.at(instance.index).file = &file->second;
    Check(!is_new || known_.insert(instance.path).second, "{} is in the ledger twice", instance.path);
  }
}

void Checker::CheckRow(const Row& row, const InstanceFacts& now) {
  const SimFile& file = *row.file;
  if (IsStored(row.state)) Check(IsStored(now.state), "{} was stored and no longer is", file.path);
  // A skipped copy may be sent only if its original has failed; the original is then skipped.
  if (IsLeftOut(row.state) && !IsLeftOut(now.state)) {
    Check(row.attempts == 0 && HasFailed(file), "{} is sent although no copy of it has failed", file.path);
  }
  const bool fails = now.state == InstanceState::kFailed && row.state != InstanceState::kFailed;
  const bool is_replaced = row.was_to_be_sent && !IsSettled(row.state) && IsLeftOut(now.state);
  if (fails || is_replaced) CheckFailed({&file, now.state});
  if (row.state == InstanceState::kFailed && now.state != InstanceState::kFailed) {
    Check(IsStored(now.state) || IsLeftOut(now.state) || retries_failed_, "{} had failed and is unsettled again",
          file.path);
  }
  if (!IsStored(now.state) || IsStored(row.state)) return;
  const Sent& sent = world_.sent[file.sop_instance_uid];
  Check(now.state == InstanceState::kStored ? sent.answered_success : sent.answered_warning,
        "{} is called stored, which the destination never answered", file.path);
}

// Does what CheckFailed() requires for any file with the same SOP Instance UID.
bool Checker::HasFailed(const SimFile& file) const {
  const auto sent = world_.sent.find(file.sop_instance_uid);
  const bool tried = sent != world_.sent.end() &&
                     (sent->second.failed_for_good || sent->second.failed_tries >= world_.plan.attempts_max);
  return tried || file.unsendable || world_.fates.at(file.study) != StudyFate::kGood;
}

// A failure needs a reason: a defect, a final response, or no attempts left.
void Checker::CheckFailed(const Row& row) {
  const SimFile& file = *row.file;
  Check(file.defect || HasFailed(file), "{} has failed after {} tries of {}", file.path,
        world_.sent[file.sop_instance_uid].failed_tries, world_.plan.attempts_max);
}

// --- promises

void Checker::CheckPromises(Ledger& ledger) {
  for (const std::string& path : promised_paths_) {
    Check(known_.contains(path), "{} was acknowledged and is not in the ledger", path);
  }
  for (const std::string& uuid : promised_sessions_) {
    Check(ledger.FindSession(uuid).has_value(), "session {} was acknowledged and is not in the ledger", uuid);
  }
}

void Checker::Spoken(Ledger& ledger, const Outgoing& outgoing, TimePoint handled_at) {
  if (outgoing.message.has_client()) return Answered(ledger, outgoing.peer, outgoing.message.client());
  const wire::CoordinatorMessage& message = outgoing.message.worker();
  if (message.has_grant()) CheckGrant(outgoing.peer, message.grant());
  if (message.has_status_ack()) CheckStatusAck(ledger, outgoing.peer, message.status_ack(), handled_at);
  if (message.page().instances_size() > 0) CheckNotCancelled(ledger, message.page().lease_id());
  if (message.has_report_ack()) CheckReportAck(ledger, message.report_ack());
}

void Checker::Answered(Ledger& ledger, const std::string& peer, const wire::ClientReply& reply) {
  if (reply.has_session()) promised_sessions_.insert(reply.session().session());
  if (reply.has_publish_ack()) {
    for (const std::string& path : published_[{peer, reply.request_id()}]) {
      Check(known_.contains(path), "{} is acknowledged and not in the ledger", path);
      promised_paths_.insert(path);
    }
  }
  const auto command = commands_.find({peer, reply.request_id()});
  if (command == commands_.end() || reply.has_failure()) return;
  if (command->second.has_begin_scan()) {
    const wire::BeginScan& scan = command->second.begin_scan();
    scans_[scan.session()][scan.indexer()].begun = reply.scan_begun().scan();
  }
  if (command->second.has_cancel_session()) {
    const auto session = ledger.FindSession(command->second.cancel_session().session());
    if (session) cancelled_[session->key] = last_granted_;
  }
  if (command->second.has_drain_worker()) {
    const auto worker = peers_.find(command->second.drain_worker().worker());
    if (worker != peers_.end()) drained_.insert(worker->second);
  }
}

void Checker::CheckGrant(const std::string& peer, const wire::LeaseGrant& grant) {
  if (grant.lease_id() <= last_granted_) return;  // a repeated grant
  last_granted_ = grant.lease_id();
  Check(!drained_.contains(peer), "study {} is leased to {}, which drains", grant.study_instance_uid(), peer);
}

void Checker::CheckStatusAck(Ledger& ledger, const std::string& peer, const wire::StatusAck& ack,
                             TimePoint handled_at) {
  for (const std::uint64_t lease : ack.renewed()) CheckNotCancelled(ledger, lease);
  if (ack.seq() == 0) return;  // not an answer to a status
  // The coordinator may have forgotten a worker, with its drain request, that was silent for the lease time. The
  // tolerance covers clocks that run fast.
  TimePoint& last = last_answered_[peer];
  if (handled_at >= last + world_.plan.scheduler.lease_ttl * 99 / 100) drained_.erase(peer);
  last = handled_at;
  peers_[peer.substr(0, peer.find('.'))] = peer;
  if (draining_statuses_.contains({peer, ack.seq()})) drained_.insert(peer);
}

void Checker::CheckReportAck(Ledger& ledger, const wire::ReportAck& ack) {
  const auto lease = ledger.FindLease(ack.lease_id());
  Check(lease.has_value(), "a report of an unknown lease is acknowledged");
  for (const std::uint32_t index : reported_stored_[{lease->id, ack.seq()}]) {
    const Row& row = studies_[lease->study].at(index);
    Check(IsStored(row.state), "an acknowledged outcome is not in the ledger: {} is not stored", row.file->path);
  }
}

void Checker::CheckNotCancelled(Ledger& ledger, LeaseId id) {
  if (cancelled_.empty()) return;
  const auto lease = ledger.FindLease(id);
  if (!lease) return;
  const auto cancelled = cancelled_.find(ledger.LoadStudy(lease->study).session);
  Check(cancelled == cancelled_.end() || id > cancelled->second,
        "lease {} continues although its session is cancelled", id);
}

// --- the end

void Checker::Settled(Ledger& ledger) {
  for (const SessionKey key : ledger.Sessions()) {
    const SessionRecord session = ledger.LoadSession(key);
    Check(session.state == wire::SESSION_COMPLETE, "a session has ended as {}",
          wire::SessionState_Name(session.state));
    Check(session.counts.unsettled() == 0, "{} instances are unsettled", session.counts.unsettled());
    CheckResends(session);
  }
  for (const auto& [path, file] : world_.files) Check(known_.contains(path), "{} was forgotten", path);
}

// Finds instances that the destination received more than once. Two files with the same SOP Instance UID may both be
// sent if the first has failed; that is not a resend.
void Checker::CheckResends(const SessionRecord& session) {
  std::map<std::string, int> files_sent;
  for (const auto& [key, rows] : studies_) {
    for (const Row& row : rows) {
      const bool ours = fmt::format("session-{}", row.file->session) == session.settings.session();
      if (ours && row.state != InstanceState::kSkipped) ++files_sent[row.file->sop_instance_uid];
    }
  }
  std::uint64_t again = 0;
  for (const auto& [uid, files] : files_sent) {
    if (const auto stored = world_.sent[uid].stored; files == 1 && stored > 1) again += stored - 1;
  }
  Check(again <= session.counts.resends, "{} instances were stored again, but {} resends were counted", again,
        session.counts.resends);
}

}  // namespace dicom_sender
