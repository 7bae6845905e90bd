#include "tests/sim/memory_ledger.h"

#include <algorithm>
#include <set>

#include "common/text.h"

namespace dicom_sender {
namespace {

using State = MemoryLedgerState;

bool IsStored(InstanceState state) {
  return state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
}
bool IsUnsettled(const State::Row& row) { return !IsSettled(row.state); }

// `sign` is 1 or -1: the counts are unsigned and wrap around.
void Contribute(Counts& counts, const State::Row& row, std::uint64_t sign) {
  if (!IsSettled(row.state)) return;
  counts.settled_bytes += sign * row.file->size_bytes();
  if (row.state == InstanceState::kSkipped || row.state == InstanceState::kConflict) counts.skipped += sign;
  if (row.state == InstanceState::kConflict) counts.conflicts += sign;
  if (row.state == InstanceState::kFailed) counts.failed += sign;
  if (!IsStored(row.state)) return;
  (row.state == InstanceState::kStored ? counts.stored : counts.warned) += sign;
  counts.stored_bytes += sign * row.file->size_bytes();
  counts.store_us += sign * row.duration_us;
}

std::string LowerAscii(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
  return text;
}

bool Selects(const RequeueFilter& filter, const State::Row& row) {
  if (row.state != InstanceState::kFailed || row.defect) return false;
  if (filter.status && row.status != filter.status) return false;
  if (filter.worker && row.worker != *filter.worker) return false;
  return !filter.reason || LowerAscii(row.reason).find(LowerAscii(*filter.reason)) != std::string::npos;
}

class MemoryLedger : public Ledger {
 public:
  MemoryLedger(std::shared_ptr<MemoryLedgerStore::Committed> committed, std::optional<std::uint64_t> epoch)
      : committed_(std::move(committed)), epoch_(epoch) {
    Read();
  }

  void Begin() override {
    CheckEpoch();
    if (commits_ != committed_->commits) Read();
    changed_ = {};
  }
  void Commit() override {
    CheckEpoch();
    Write();
  }

  SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) override;
  std::optional<SessionRecord> FindSession(std::string_view uuid) override;
  SessionRecord LoadSession(SessionKey session) override { return Of(session).record; }
  std::vector<SessionKey> Sessions() override;
  void SetSettings(SessionKey session, const wire::OpenSession& settings) override {
    Change(session).record.settings = settings;
  }
  bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) override;
  void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                    const std::map<std::string, std::uint64_t>& ignored) override;
  void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) override {
    for (const UnreadPath& path : paths) Change(session).unread[path.path][std::string(indexer)] = path;
  }
  std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) override {
    std::vector<UnreadPath> paths;
    for (const auto& [path, by_indexer] : Of(session).unread) {
      if (path > after && !by_indexer.empty() && paths.size() < limit) paths.push_back(by_indexer.begin()->second);
    }
    return paths;
  }
  std::vector<ScanRecord> Scans(SessionKey session) override {
    std::vector<ScanRecord> scans;
    for (const auto& [indexer, scan] : Of(session).scans) scans.push_back({indexer, scan.complete});
    return scans;
  }
  void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                       WallTime now) override;
  void BeginRun(SessionKey session, WallTime now) override;
  void SetEnding(SessionKey session, std::optional<wire::SessionState> state) override {
    Change(session).record.ending = state;
  }
  std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) override;

  std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) override;
  std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                              const InstanceCursor& after, std::size_t limit) override;
  void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) override;
  std::vector<PromotedCopy> PromoteCopies(StudyKey study) override;

  StudyRecord LoadStudy(StudyKey study) override;
  std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) override;
  std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) override;
  LeaseId LastLeaseId() override { return state_.leases.empty() ? 0 : state_.leases.rbegin()->first; }
  std::optional<LeaseRecord> FindLease(LeaseId lease) override;
  void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                  std::uint32_t worker_capacity, WallTime now) override;
  std::uint64_t EndLease(StudyKey study, bool clean) override;
  std::vector<StudyRecord> LeasedStudies(SessionKey session) override;
  void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) override;
  std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) override;

  wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) override;
  void SetPageEnd(StudyKey study, std::uint32_t page_end) override;
  std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) override;
  void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) override;
  std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) override;
  std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                       const InstanceCursor& after, std::size_t limit) override;
  FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) override;
  WorkerCount Workers(SessionKey session) override;
  std::vector<PairCount> PairCounts(SessionKey session) override;

 private:
  using Place = State::Place;

  void Read();
  void Write();
  void CheckEpoch() const {
    if (epoch_ && committed_->leader.epoch != *epoch_) throw LedgerFenced("another coordinator leads");
  }
  State::Session& Of(SessionKey session) { return Find(state_.sessions, session); }
  State::Study& OfStudy(StudyKey study) { return Find(state_.studies, study); }
  State::Session& Change(SessionKey session) {
    changed_.sessions.insert(session);
    return Of(session);
  }
  // Updates the session's counts accordingly.
  State::Study& ChangeStudy(StudyKey key) {
    changed_.studies.insert(key);
    State::Study& study = OfStudy(key);
    changed_.sessions.insert(study.record.session);
    return study;
  }
  template <class Map>
  static typename Map::mapped_type& Find(Map& map, typename Map::key_type key) {
    const auto it = map.find(key);
    if (it == map.end()) throw LedgerError("no session or study " + std::to_string(key));
    return it->second;
  }
  // Replaces one row with another and updates the counts of study and session.
  void Replace(State::Study& study, std::uint32_t index, State::Row row);
  static InstanceFacts FactsOf(const State::Row& row, std::uint32_t index);
  static void SumIgnored(State::Session& session);
  State::Study& FindOrCreateStudy(SessionKey session, const std::string& uid);
  static std::uint32_t RootOf(State::Session& session, const std::string& path);
  void Add(State::Session& session, State::Study& study, const wire::Instance& instance, const std::string& root,
           const std::string& indexer, StudyFeed& feed);
  void NotePair(State::Study& study, const wire::Instance& instance);
  void SetState(const Place& place, InstanceState state, const std::string& reason);
  std::optional<PromotedCopy> Promote(State::Session& session, const Place& failed);
  void Learn(const State::Study& study, std::uint32_t index);
  std::string PathOf(SessionKey session, const State::Row& row) {
    return JoinPath(Of(session).roots.at(row.file->root()), row.file->path());
  }
  static std::string Key(SessionKey session, std::string_view a, std::string_view b) {
    return std::to_string(session) + '\0' + std::string(a) + '\0' + std::string(b);
  }

  const std::shared_ptr<MemoryLedgerStore::Committed> committed_;
  const std::optional<std::uint64_t> epoch_;
  State state_;
  std::uint64_t commits_ = 0;  // the last commit that is part of `state_`
  struct {
    std::set<SessionKey> sessions;
    std::set<StudyKey> studies;
    std::set<LeaseId> leases;
  } changed_;                                                    // in this transaction
  std::unordered_map<std::string, std::vector<Place>> by_file_;  // by session, root and path
  std::unordered_map<std::string, std::vector<Place>> by_uid_;   // by session and SOP Instance UID
};

class MemoryLeadership : public Leadership {
 public:
  MemoryLeadership(std::shared_ptr<MemoryLedgerStore::Committed> committed, Duration leader_timeout)
      : committed_(std::move(committed)), leader_timeout_(leader_timeout) {}

  LeaderRecord Look() override { return record(); }
  std::optional<LeaderRecord> Take(const LeaderRecord& seen, std::string_view leader) override {
    if (record() != seen) return std::nullopt;
    record() = {
        .epoch = seen.epoch + 1, .leader = std::string(leader), .renewals = 0, .leader_timeout = leader_timeout_};
    return record();
  }
  bool Renew(std::uint64_t epoch) override {
    if (record().epoch != epoch || record().leader.empty()) return false;
    ++record().renewals;
    return true;
  }
  bool Release(std::uint64_t epoch) override {
    if (record().epoch != epoch) return false;
    record().leader.clear();
    return true;
  }

 private:
  LeaderRecord& record() { return committed_->leader; }

  const std::shared_ptr<MemoryLedgerStore::Committed> committed_;
  const Duration leader_timeout_;
};

void MemoryLedger::Read() {
  state_ = committed_->state;
  commits_ = committed_->commits;
  by_file_.clear();
  by_uid_.clear();
  for (const auto& [key, study] : state_.studies) {
    for (std::uint32_t index = 0; index < study.rows.size(); ++index) Learn(study, index);
  }
}

void MemoryLedger::Write() {
  const auto copy = [](const auto& keys, const auto& from, auto& to) {
    for (const auto key : keys) to[key] = from.at(key);
  };
  copy(changed_.sessions, state_.sessions, committed_->state.sessions);
  copy(changed_.studies, state_.studies, committed_->state.studies);
  copy(changed_.leases, state_.leases, committed_->state.leases);
  // If others have written since it was read, the next transaction reads it again.
  const bool latest = commits_ == committed_->commits;
  ++committed_->commits;
  if (latest) commits_ = committed_->commits;
}

// --- sessions

SessionRecord MemoryLedger::CreateSession(const wire::OpenSession& settings, WallTime now) {
  const SessionKey key = state_.sessions.empty() ? 1 : state_.sessions.rbegin()->first + 1;
  changed_.sessions.insert(key);
  State::Session& session = state_.sessions[key];
  session.record.key = key;
  session.record.settings = settings;
  session.record.start_time = now;
  session.record.run_start = now;
  return session.record;
}

std::optional<SessionRecord> MemoryLedger::FindSession(std::string_view uuid) {
  for (const auto& [key, session] : state_.sessions) {
    if (session.record.settings.session() == uuid) return session.record;
  }
  return std::nullopt;
}

std::vector<SessionKey> MemoryLedger::Sessions() {
  std::vector<SessionKey> keys;
  for (const auto& [key, session] : state_.sessions) keys.push_back(key);
  return keys;
}

bool MemoryLedger::BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) {
  State::Session& changed = Change(session);
  const auto [it, is_new] = changed.scans.try_emplace(std::string(indexer));
  if (!is_new && scan <= it->second.number) {
    scan = it->second.number;
    return false;
  }
  it->second = {.number = scan, .complete = false, .ignored = {}};
  changed.record.scan_complete = false;
  SumIgnored(changed);
  for (auto& [path, by_indexer] : changed.unread) by_indexer.erase(std::string(indexer));
  return true;
}

void MemoryLedger::CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t number,
                                const std::map<std::string, std::uint64_t>& ignored) {
  State::Session& changed = Change(session);
  const auto it = changed.scans.find(std::string(indexer));
  if (it == changed.scans.end() || it->second.number != number || it->second.complete) return;
  it->second.complete = true;
  it->second.ignored = ignored;
  changed.record.scan_complete =
      std::all_of(changed.scans.begin(), changed.scans.end(), [](const auto& scan) { return scan.second.complete; });
  SumIgnored(changed);
}

void MemoryLedger::SumIgnored(State::Session& session) {
  session.record.ignored.clear();
  for (const auto& [indexer, scan] : session.scans) {
    for (const auto& [reason, files] : scan.ignored) session.record.ignored[reason] += files;
  }
}

void MemoryLedger::SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                                   WallTime now) {
  SessionRecord& record = Change(session).record;
  const bool goes_on = state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING;
  record.state = state;
  record.end_reason = goes_on ? std::string_view() : end_reason;
  record.end_time = goes_on ? std::nullopt : std::optional(now);
  if (goes_on) {
    if (!record.run_start) record.run_start = now;
    return;
  }
  record.ending.reset();
  if (record.run_start) record.worked += std::max(Duration(now - *record.run_start), Duration(0));
  record.run_start.reset();
}

void MemoryLedger::BeginRun(SessionKey session, WallTime now) {
  SessionRecord& record = Change(session).record;
  for (const auto& [key, study] : state_.studies) {
    if (study.record.session != session || !study.record.last_outcome_time || !record.run_start) continue;
    if (*study.record.last_outcome_time <= *record.run_start) continue;
    record.worked += *study.record.last_outcome_time - *record.run_start;
    record.run_start = study.record.last_outcome_time;
  }
  record.run_start = now;
}

std::vector<StudyFeed> MemoryLedger::Requeue(SessionKey session, const RequeueFilter& filter) {
  changed_.sessions.insert(session);
  std::vector<StudyFeed> changes;
  for (auto& [key, study] : state_.studies) {
    if (study.record.session != session) continue;
    if (filter.study_instance_uid && study.record.uid != *filter.study_instance_uid) continue;
    StudyFeed changed{.study = key};
    for (std::uint32_t index = 0; index < study.rows.size(); ++index) {
      State::Row row = *study.rows[index];
      if (!Selects(filter, row)) continue;
      row.state = InstanceState::kPending;
      row.reason.clear();
      row.status.reset();
      row.duration_us = 0;
      row.attempts = 0;
      row.worker.clear();
      ++changed.pending;
      changed.pending_bytes += row.file->size_bytes();
      Replace(study, index, std::move(row));
    }
    if (changed.pending == 0) continue;
    changed_.studies.insert(key);
    changes.push_back(changed);
  }
  return changes;
}

// --- the feed

State::Study& MemoryLedger::FindOrCreateStudy(SessionKey session, const std::string& uid) {
  for (auto& [key, study] : state_.studies) {
    if (study.record.session == session && study.record.uid == uid) return ChangeStudy(key);
  }
  const StudyKey key = state_.studies.empty() ? 1 : state_.studies.rbegin()->first + 1;
  changed_.studies.insert(key);
  State::Study& study = state_.studies[key];
  study.record.key = key;
  study.record.session = session;
  study.record.uid = uid;
  ++Change(session).record.studies;
  return study;
}

std::uint32_t MemoryLedger::RootOf(State::Session& session, const std::string& path) {
  const auto it = std::find(session.roots.begin(), session.roots.end(), path);
  const auto index = static_cast<std::uint32_t>(it - session.roots.begin());
  if (it == session.roots.end()) session.roots.push_back(path);
  return index;
}

void MemoryLedger::Learn(const State::Study& study, std::uint32_t index) {
  const SessionKey session = study.record.session;
  const wire::Instance& file = *study.rows[index]->file;
  const Place place(study.record.key, index);
  by_file_[Key(session, Of(session).roots.at(file.root()), file.path())].push_back(place);
  if (!file.sop_instance_uid().empty()) by_uid_[Key(session, file.sop_instance_uid(), {})].push_back(place);
}

void MemoryLedger::Add(State::Session& session, State::Study& study, const wire::Instance& instance,
                       const std::string& root, const std::string& indexer, StudyFeed& feed) {
  const SessionKey key = session.record.key;
  const auto row_at = [this](const Place& place) -> const State::Row& {
    return *state_.studies.at(place.first).rows.at(place.second);
  };
  for (const Place& place : by_file_[Key(key, root, instance.path())]) {
    if (row_at(place).file->sop_instance_uid() == instance.sop_instance_uid()) return;
  }
  auto file = std::make_shared<wire::Instance>(instance);
  file->set_root(RootOf(session, root));
  State::Row row{.file = file, .state = {}, .defect = !instance.defect().empty(), .status = {}, .reason = {}};
  if (row.defect) {
    row.state = InstanceState::kFailed;
    row.reason = instance.defect();
  } else if (!instance.sop_instance_uid().empty()) {
    auto& files = by_uid_[Key(key, instance.sop_instance_uid(), {})];
    std::sort(files.begin(), files.end());
    for (const Place& place : files) {
      const State::Row& other = row_at(place);
      if (other.state == InstanceState::kSkipped || other.state == InstanceState::kConflict ||
          other.state == InstanceState::kFailed) {
        continue;
      }
      row.state = InstanceState::kSkipped;
      row.reason = "same SOP Instance UID as " + PathOf(key, other) + ", not compared";
      const auto known = session.copies.find(place);
      session.copies[{study.record.key, static_cast<std::uint32_t>(study.rows.size())}] = {
          .original = known == session.copies.end() ? place : known->second.original, .indexer = indexer};
      break;
    }
  }
  if (row.state == InstanceState::kPending) {
    ++feed.pending;
    feed.pending_bytes += instance.size_bytes();
    NotePair(study, instance);
  }
  for (Counts* counts : {&study.record.counts, &session.record.counts}) {
    ++counts->total;
    counts->total_bytes += instance.size_bytes();
    Contribute(*counts, row, 1);
  }
  study.rows.push_back(std::make_shared<const State::Row>(std::move(row)));
  Learn(study, static_cast<std::uint32_t>(study.rows.size() - 1));
}

std::vector<StudyFeed> MemoryLedger::AddStudies(SessionKey key, const wire::PublishBatch& batch) {
  State::Session& session = Change(key);
  std::map<std::uint32_t, std::string> roots;
  for (const auto& root : batch.roots()) roots[root.id()] = root.path();
  std::vector<StudyFeed> feeds;
  for (const auto& items : batch.studies()) {
    State::Study& study = FindOrCreateStudy(key, items.study_instance_uid());
    StudyFeed& feed = feeds.emplace_back(StudyFeed{.study = study.record.key});
    for (const auto& instance : items.instances()) {
      Add(session, study, instance, roots[instance.root()], batch.indexer(), feed);
    }
  }
  return feeds;
}

void MemoryLedger::NotePair(State::Study& study, const wire::Instance& instance) {
  const auto is_same = [&](const auto& known) {
    return known->sop_class_uid() == instance.sop_class_uid() &&
           known->transfer_syntax_uid() == instance.transfer_syntax_uid();
  };
  if (std::any_of(study.pairs.begin(), study.pairs.end(), is_same)) return;
  auto pair = std::make_shared<wire::ContextPair>();
  pair->set_sop_class_uid(instance.sop_class_uid());
  pair->set_transfer_syntax_uid(instance.transfer_syntax_uid());
  study.pairs.push_back(std::move(pair));
}

// --- copies

void MemoryLedger::SetState(const Place& place, InstanceState state, const std::string& reason) {
  State::Study& study = ChangeStudy(place.first);
  State::Row row = *study.rows.at(place.second);
  row.state = state;
  row.reason = reason;
  Replace(study, place.second, std::move(row));
}

std::vector<UncomparedCopy> MemoryLedger::CopiesToCompare(SessionKey session, std::string_view indexer,
                                                          const InstanceCursor& after, std::size_t limit) {
  std::vector<UncomparedCopy> copies;
  const auto path_at = [&](const Place& place) {
    return PathOf(session, *OfStudy(place.first).rows.at(place.second));
  };
  for (const auto& [place, copy] : Of(session).copies) {
    if (place.first < after.study || (place.first == after.study && after.index && place.second <= *after.index))
      continue;
    if (copy.conflict || copy.promoted || copy.indexer != indexer || copies.size() == limit) continue;
    copies.push_back({place.first, place.second, path_at(place), path_at(copy.original)});
  }
  return copies;
}

void MemoryLedger::RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) {
  for (const auto& [study, index, difference] : comparisons) {
    const auto copy = Change(session).copies.find({study, index});
    if (copy == Of(session).copies.end() || copy->second.conflict) continue;
    copy->second.conflict = !difference.empty();
    const Place& original = copy->second.original;
    const std::string path = PathOf(session, *OfStudy(original.first).rows.at(original.second));
    if (difference.empty()) {
      SetState({study, index}, InstanceState::kSkipped, "duplicate of " + path);
    } else {
      SetState({study, index}, InstanceState::kConflict,
               "conflict with " + path + ", which has the same SOP Instance UID: " + difference);
    }
  }
}

std::vector<PromotedCopy> MemoryLedger::PromoteCopies(StudyKey key) {
  std::vector<PromotedCopy> promoted;
  const State::Study& study = OfStudy(key);
  State::Session& session = Change(study.record.session);
  for (std::uint32_t index = 0; index < study.rows.size(); ++index) {
    const State::Row& row = *study.rows[index];
    if (row.state != InstanceState::kFailed || row.defect) continue;
    if (auto copy = Promote(session, {key, index})) promoted.push_back(*std::move(copy));
  }
  return promoted;
}

std::optional<PromotedCopy> MemoryLedger::Promote(State::Session& session, const Place& failed) {
  const auto own = session.copies.find(failed);
  const Place first = own == session.copies.end() ? failed : own->second.original;
  const bool differs = own != session.copies.end() && own->second.conflict.value_or(true);
  const auto next = std::find_if(session.copies.begin(), session.copies.end(), [&](const auto& entry) {
    return entry.second.original == first && !entry.second.promoted;
  });
  if (next == session.copies.end()) return std::nullopt;
  auto& [place, copy] = *next;
  const State::Row& failed_row = *OfStudy(failed.first).rows.at(failed.second);
  const State::Row& copy_row = *OfStudy(place.first).rows.at(place.second);
  PromotedCopy promoted{.session = session.record.key,
                        .feed = {.study = place.first, .pending = 1, .pending_bytes = copy_row.file->size_bytes()},
                        .path = PathOf(session.record.key, copy_row),
                        .failed_path = PathOf(session.record.key, failed_row)};
  copy.promoted = true;
  copy.conflict = copy.conflict.value_or(true);
  const bool may_be_stored = failed_row.may_be_stored;
  const bool conflict = differs || *copy.conflict;
  SetState(failed, conflict ? InstanceState::kConflict : InstanceState::kSkipped,
           promoted.path + " is sent instead: " + failed_row.reason);
  State::Study& study = ChangeStudy(place.first);
  State::Row row = *study.rows.at(place.second);
  row.state = InstanceState::kPending;
  row.reason.clear();
  row.may_be_stored = may_be_stored;
  NotePair(study, *row.file);
  Replace(study, place.second, std::move(row));
  return promoted;
}

// --- studies and leases

StudyRecord MemoryLedger::LoadStudy(StudyKey key) {
  StudyRecord record = OfStudy(key).record;
  record.unsettled_bytes = record.counts.total_bytes - record.counts.settled_bytes;
  return record;
}

std::vector<StudyRecord> MemoryLedger::Studies(SessionKey session, StudyKey after, std::size_t limit) {
  std::vector<StudyRecord> records;
  for (auto it = state_.studies.upper_bound(after); it != state_.studies.end() && records.size() < limit; ++it) {
    if (it->second.record.session == session) records.push_back(LoadStudy(it->first));
  }
  return records;
}

std::vector<StudyFeed> MemoryLedger::UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) {
  std::vector<StudyFeed> feeds;
  for (auto it = state_.studies.upper_bound(after); it != state_.studies.end() && feeds.size() < limit; ++it) {
    const Counts& counts = it->second.record.counts;
    if (it->second.record.session != session || counts.unsettled() == 0) continue;
    feeds.push_back({.study = it->first,
                     .pending = static_cast<std::uint32_t>(counts.unsettled()),
                     .pending_bytes = counts.total_bytes - counts.settled_bytes});
  }
  return feeds;
}

std::optional<LeaseRecord> MemoryLedger::FindLease(LeaseId lease) {
  const auto it = state_.leases.find(lease);
  if (it == state_.leases.end()) return std::nullopt;
  LeaseRecord record = it->second;
  const StudyRecord& study = OfStudy(record.study).record;
  record.session = study.session;
  record.suspect_end = study.suspect_end;
  return record;
}

void MemoryLedger::GrantLease(StudyKey key, LeaseId lease, std::string_view worker, std::string_view identity,
                              std::uint32_t worker_capacity, WallTime now) {
  StudyRecord& study = ChangeStudy(key).record;
  const LeaseRecord record{
      .id = lease, .study = key, .worker = std::string(worker), .identity = std::string(identity)};
  const bool is_new = state_.leases.try_emplace(lease, record).second;
  if (!is_new) throw LedgerError("lease " + std::to_string(lease) + " was granted before");
  changed_.leases.insert(lease);
  study.lease = lease;
  study.lease_worker = worker;
  study.page_end = 0;
  if (!study.first_lease_time) study.first_lease_time = now;
  std::uint32_t& threads = Of(study.session).workers[std::string(worker)];
  threads = std::max(threads, worker_capacity);
}

std::uint64_t MemoryLedger::EndLease(StudyKey key, bool clean) {
  State::Study& changed = ChangeStudy(key);
  StudyRecord& study = changed.record;
  study.lease = 0;
  study.lease_worker.clear();
  if (clean) return 0;
  std::uint64_t resends = 0;
  for (std::uint32_t i = 0; i < std::min<std::size_t>(study.page_end, changed.rows.size()); ++i) {
    const State::Row& row = *changed.rows[i];
    resends += IsUnsettled(row) && (i < study.suspect_end || row.may_be_stored);
  }
  study.counts.resends += resends;
  Of(study.session).record.counts.resends += resends;
  study.suspect_end = std::max(study.suspect_end, study.page_end);
  return resends;
}

std::vector<StudyRecord> MemoryLedger::LeasedStudies(SessionKey session) {
  std::vector<StudyRecord> records;
  for (const auto& [key, study] : state_.studies) {
    if (study.record.session == session && study.record.lease > 0) records.push_back(LoadStudy(key));
  }
  return records;
}

void MemoryLedger::RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) {
  StudyRecord& study = ChangeStudy(lease.study).record;
  changed_.leases.insert(lease.id);
  LeaseRecord& record = Find(state_.leases, lease.id);
  record.last_report_seq = seq;
  if (associations <= record.associations) return;
  const std::uint32_t further = associations - record.associations;
  record.associations = associations;
  study.counts.associations += further;
  Of(study.session).record.counts.associations += further;
}

std::vector<wire::ContextPair> MemoryLedger::ContextPairs(StudyKey study, std::size_t limit) {
  std::vector<wire::ContextPair> pairs;
  for (const auto& pair : OfStudy(study).pairs) {
    if (pairs.size() < limit) pairs.push_back(*pair);
  }
  return pairs;
}

// --- instances

wire::Page MemoryLedger::LoadPage(StudyKey key, LeaseId lease, std::uint32_t from_index, std::size_t limit) {
  const State::Study& study = OfStudy(key);
  wire::Page page;
  page.set_lease_id(lease);
  page.set_from_index(from_index);
  std::set<std::uint32_t> roots;
  for (std::uint32_t index = from_index; index < study.rows.size(); ++index) {
    const State::Row& row = *study.rows[index];
    if (!IsUnsettled(row)) continue;
    if (static_cast<std::size_t>(page.instances_size()) == limit) {
      page.set_next_index(index);
      break;
    }
    auto* instance = page.add_instances();
    *instance = *row.file;
    instance->set_index(index);
    instance->set_alone(row.may_be_stored);
    roots.insert(row.file->root());
  }
  for (const std::uint32_t id : roots) {
    auto* root = page.add_roots();
    root->set_id(id);
    root->set_path(Of(study.record.session).roots.at(id));
  }
  return page;
}

void MemoryLedger::SetPageEnd(StudyKey key, std::uint32_t page_end) {
  StudyRecord& study = ChangeStudy(key).record;
  study.page_end = std::max(study.page_end, page_end);
}

InstanceFacts MemoryLedger::FactsOf(const State::Row& row, std::uint32_t index) {
  return {.index = index,
          .state = row.state,
          .attempts = row.attempts,
          .may_be_stored = row.may_be_stored,
          .size_bytes = row.file->size_bytes(),
          .duration_us = row.duration_us};
}

std::vector<InstanceFacts> MemoryLedger::LoadInstances(StudyKey key, std::span<const std::uint32_t> indices) {
  const State::Study& study = OfStudy(key);
  std::vector<InstanceFacts> facts;
  for (const std::uint32_t index : indices) {
    if (index >= study.rows.size()) continue;
    const State::Row& row = *study.rows[index];
    facts.push_back(FactsOf(row, index));
  }
  return facts;
}

void MemoryLedger::Replace(State::Study& study, std::uint32_t index, State::Row row) {
  for (Counts* counts : {&study.record.counts, &Of(study.record.session).record.counts}) {
    Contribute(*counts, *study.rows[index], ~std::uint64_t{0});
    Contribute(*counts, row, 1);
  }
  study.rows[index] = std::make_shared<const State::Row>(std::move(row));
}

void MemoryLedger::ChangeInstances(std::span<const InstanceChange> changes, WallTime now) {
  for (const InstanceChange& change : changes) {
    State::Study& study = ChangeStudy(change.study);
    if (change.index >= study.rows.size()) throw LedgerError("no such instance");
    State::Row row = *study.rows[change.index];
    if (change.before != FactsOf(row, change.index)) throw LedgerError("the instance is not as it was read");
    const std::uint64_t retries = std::max(change.attempts, 1U) - std::uint64_t{std::max(row.attempts, 1U)};
    row.state = change.state;
    row.attempts = change.attempts;
    row.status = change.status;
    row.reason = change.reason;
    row.duration_us = change.duration_us;
    row.may_be_stored = change.may_be_stored;
    row.worker = change.worker;
    Replace(study, change.index, std::move(row));
    for (Counts* counts : {&study.record.counts, &Of(study.record.session).record.counts}) {
      counts->retries += retries;
      counts->resends += change.resend;
    }
    study.record.last_outcome_time = now;
  }
}

std::uint64_t MemoryLedger::FailStudy(StudyKey key, std::string_view reason, WallTime now) {
  State::Study& study = ChangeStudy(key);
  std::uint64_t failed = 0;
  for (std::uint32_t index = 0; index < study.rows.size(); ++index) {
    State::Row row = *study.rows[index];
    if (!IsUnsettled(row)) continue;
    row.state = InstanceState::kFailed;
    row.reason = reason;
    row.status.reset();
    Replace(study, index, std::move(row));
    ++failed;
  }
  if (failed > 0) study.record.last_outcome_time = now;
  return failed;
}

// --- reports

std::vector<ReportedInstance> MemoryLedger::Report(SessionKey session, std::span<const InstanceState> states,
                                                   const InstanceCursor& after, std::size_t limit) {
  std::vector<ReportedInstance> reported;
  for (auto it = state_.studies.lower_bound(after.study); it != state_.studies.end(); ++it) {
    const State::Study& study = it->second;
    if (study.record.session != session) continue;
    const bool goes_on = it->first == after.study && after.index;
    for (std::uint32_t index = goes_on ? *after.index + 1 : 0; index < study.rows.size(); ++index) {
      const State::Row& row = *study.rows[index];
      if (std::find(states.begin(), states.end(), row.state) == states.end()) continue;
      if (reported.size() == limit) return reported;
      reported.push_back({.study = it->first,
                          .index = index,
                          .path = PathOf(session, row),
                          .study_instance_uid = study.record.uid,
                          .sop_instance_uid = row.file->sop_instance_uid(),
                          .status = row.status,
                          .reason = row.reason,
                          .attempts = row.attempts,
                          .worker = row.worker,
                          .state = row.state});
    }
  }
  return reported;
}

FailureReasons MemoryLedger::CountFailureReasons(SessionKey session, std::size_t limit) {
  std::map<std::string, std::uint64_t> counted;
  const InstanceState failed[] = {InstanceState::kFailed};
  for (const auto& instance : Report(session, failed, {}, SIZE_MAX)) ++counted[instance.reason];
  FailureReasons reasons;
  for (const auto& [reason, instances] : counted) reasons.most_frequent.push_back({reason, instances});
  std::stable_sort(reasons.most_frequent.begin(), reasons.most_frequent.end(),
                   [](const ReasonCount& a, const ReasonCount& b) { return a.instances > b.instances; });
  reasons.distinct = counted.size();
  if (reasons.most_frequent.size() > limit) reasons.most_frequent.resize(limit);
  return reasons;
}

WorkerCount MemoryLedger::Workers(SessionKey session) {
  WorkerCount count;
  for (const auto& [worker, threads] : Of(session).workers) {
    ++count.workers;
    count.threads += threads;
  }
  return count;
}

std::vector<PairCount> MemoryLedger::PairCounts(SessionKey session) {
  std::vector<PairCount> counts;
  for (const auto& [key, study] : state_.studies) {
    if (study.record.session != session) continue;
    for (const auto& row : study.rows) {
      if (!IsUnsettled(*row)) continue;
      auto it = std::find_if(counts.begin(), counts.end(), [&](const PairCount& count) {
        return count.pair.sop_class_uid() == row->file->sop_class_uid() &&
               count.pair.transfer_syntax_uid() == row->file->transfer_syntax_uid();
      });
      if (it == counts.end()) {
        it = counts.emplace(counts.end());
        it->pair.set_sop_class_uid(row->file->sop_class_uid());
        it->pair.set_transfer_syntax_uid(row->file->transfer_syntax_uid());
      }
      ++it->instances;
    }
  }
  return counts;
}

}  // namespace

std::unique_ptr<Ledger> MemoryLedgerStore::Open(std::optional<std::uint64_t> epoch) {
  return std::make_unique<MemoryLedger>(committed_, epoch);
}

std::unique_ptr<Leadership> MemoryLedgerStore::OpenLeadership(Duration leader_timeout) {
  return std::make_unique<MemoryLeadership>(committed_, leader_timeout);
}

}  // namespace dicom_sender
