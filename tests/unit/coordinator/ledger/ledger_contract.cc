#include "tests/unit/coordinator/ledger/ledger_contract.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace dicom_sender {

WallTime At(std::int64_t milliseconds) { return WallTime(std::chrono::milliseconds(milliseconds)); }

wire::PublishBatch Batch(const std::string& study, const std::vector<File>& files) {
  wire::PublishBatch batch;
  std::map<std::string, std::uint32_t> roots;
  auto* items = batch.add_studies();
  items->set_study_instance_uid(study);
  for (const File& file : files) {
    const auto [root, is_new] = roots.try_emplace(file.root, static_cast<std::uint32_t>(roots.size() + 1));
    if (is_new) {
      auto* added = batch.add_roots();
      added->set_id(root->second);
      added->set_path(file.root);
    }
    auto* instance = items->add_instances();
    instance->set_root(root->second);
    instance->set_path(file.path);
    instance->set_sop_class_uid(file.sop_class_uid);
    instance->set_sop_instance_uid(file.sop_instance_uid);
    instance->set_transfer_syntax_uid("1.2.840.10008.1.2.1");
    instance->set_dataset_offset(330);
    instance->set_size_bytes(file.size_bytes);
    instance->set_mtime_ns(1'700'000'000'123'456'789);
    instance->set_defect(file.defect);
  }
  return batch;
}

void ReadAndChange(Ledger& ledger, std::vector<InstanceChange> changes, WallTime now) {
  std::map<std::pair<StudyKey, std::uint32_t>, InstanceFacts> facts;
  for (InstanceChange& change : changes) {
    const std::pair instance(change.study, change.index);
    if (!facts.contains(instance)) {
      facts[instance] = ledger.LoadInstances(change.study, std::span(&change.index, 1)).at(0);
    }
    change.before = facts[instance];
    facts[instance] = {.index = change.index,
                       .state = change.state,
                       .attempts = change.attempts,
                       .may_be_stored = change.may_be_stored,
                       .size_bytes = change.before.size_bytes,
                       .duration_us = change.duration_us};
  }
  ledger.ChangeInstances(changes, now);
}

SessionKey LedgerContract::CreateSession(const std::string& uuid) {
  wire::OpenSession settings;
  settings.set_session(uuid);
  settings.mutable_destination()->set_called_ae("PACS");
  settings.set_attempts_max(3);
  InTransaction([&] { session_ = ledger_->CreateSession(settings, At(1000)).key; });
  return session_;
}

StudyFeed LedgerContract::Feed(const std::string& study, const std::vector<File>& files) {
  for (const File& file : files) sizes_[file.root + "/" + file.path] = file.size_bytes;
  StudyFeed feed;
  InTransaction([&] {
    const auto feeds = ledger_->AddStudies(session_, Batch(study, files));
    EXPECT_EQ(feeds.size(), 1U);
    if (!feeds.empty()) feed = feeds[0];
  });
  return feed;
}

StudyKey LedgerContract::FeedStudy(const std::string& study, std::uint32_t count) {
  std::vector<File> files;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    files.push_back({.path = study + "/" + number, .sop_instance_uid = study + "." + number, .size_bytes = 100 + i});
  }
  return Feed(study, files).study;
}

void LedgerContract::Change(const std::vector<InstanceChange>& changes) {
  InTransaction([&] { ReadAndChange(*ledger_, changes, At(5000)); });
}

InstanceChange LedgerContract::To(StudyKey study, std::uint32_t index, InstanceState state,
                                  std::uint32_t attempts) const {
  InstanceChange change;
  change.study = study;
  change.index = index;
  change.state = state;
  change.attempts = attempts;
  change.duration_us = kStoreUs;
  return change;
}

LeaseId LedgerContract::Grant(StudyKey study, const std::string& worker) {
  InTransaction([&] { ledger_->GrantLease(study, ++last_lease_, worker, kIdentity, 1, At(2000)); });
  return last_lease_;
}

void LedgerContract::FeedFailures() {
  CreateSession();
  const StudyKey first = FeedStudy("1", 4);
  const StudyKey second = FeedStudy("2", 3);
  const auto failed = [this](StudyKey study, std::uint32_t index, std::optional<std::uint16_t> status,
                             const std::string& reason, const std::string& worker) {
    InstanceChange change = To(study, index, InstanceState::kFailed);
    change.status = status;
    change.reason = reason;
    change.worker = worker;
    return change;
  };
  Change({failed(first, 0, 0xA700, "A700 (out of resources)", "w1"),
          failed(first, 1, 0xC000, "C000 (cannot understand)", "w2"),
          failed(first, 2, {}, "/mnt/\xC3\x84\\b: No such file or directory", "w2"),
          failed(second, 0, 0xA700, "A700 (out of resources)", "w2"), failed(second, 1, {}, "", "")});
}

std::vector<std::string> LedgerContract::Requeued(const RequeueFilter& filter) {
  const auto pending = [this] {
    std::set<std::string> uids;
    for (const auto& instance : Reported({InstanceState::kPending})) uids.insert(instance.sop_instance_uid);
    return uids;
  };
  const auto before = pending();
  std::size_t fed = 0;
  InTransaction([&] {
    for (const StudyFeed& feed : ledger_->Requeue(session_, filter)) fed += feed.pending;
  });
  std::vector<std::string> requeued;
  std::ranges::set_difference(pending(), before, std::back_inserter(requeued));
  EXPECT_EQ(fed, requeued.size());
  ExpectCountsAreThoseOfTheInstances(/*with_retries=*/false);
  return requeued;
}

std::vector<ReportedInstance> LedgerContract::Reported(const std::vector<InstanceState>& states, SessionKey session) {
  std::vector<ReportedInstance> all;
  InstanceCursor last;
  for (;;) {
    const auto page = ledger_->Report(session != 0 ? session : session_, states, last, 7);
    EXPECT_LE(page.size(), 7U);
    if (page.empty()) return all;
    const auto place = [](const ReportedInstance& instance) { return std::pair(instance.study, instance.index); };
    if (!all.empty() && place(page.front()) <= place(all.back())) {
      ADD_FAILURE() << "a page begins before the end of the one before";
      return all;
    }
    all.insert(all.end(), page.begin(), page.end());
    last = {page.back().study, page.back().index};
  }
}

namespace {

void ExpectEqual(const Counts& counted, const Counts& kept, bool with_retries) {
  EXPECT_EQ(kept.total, counted.total);
  EXPECT_EQ(kept.stored, counted.stored);
  EXPECT_EQ(kept.warned, counted.warned);
  EXPECT_EQ(kept.failed, counted.failed);
  EXPECT_EQ(kept.skipped, counted.skipped);
  EXPECT_EQ(kept.conflicts, counted.conflicts);
  EXPECT_EQ(kept.total_bytes, counted.total_bytes);
  EXPECT_EQ(kept.stored_bytes, counted.stored_bytes);
  EXPECT_EQ(kept.settled_bytes, counted.settled_bytes);
  EXPECT_EQ(kept.store_us, counted.store_us);
  if (with_retries) {
    EXPECT_EQ(kept.retries, counted.retries);
  }
}

void CountOne(Counts& counts, InstanceState state, std::uint64_t size, std::uint32_t attempts) {
  const bool stored = state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
  ++counts.total;
  counts.total_bytes += size;
  counts.stored += state == InstanceState::kStored;
  counts.warned += state == InstanceState::kStoredWithWarning;
  counts.failed += state == InstanceState::kFailed;
  counts.skipped += state == InstanceState::kSkipped || state == InstanceState::kConflict;
  counts.conflicts += state == InstanceState::kConflict;
  counts.stored_bytes += stored ? size : 0;
  counts.settled_bytes += IsSettled(state) ? size : 0;
  counts.store_us += stored ? kStoreUs : 0;
  counts.retries += std::max(attempts, 1U) - 1;
}

}  // namespace

void LedgerContract::ExpectCountsAreThoseOfTheInstances(bool with_retries) {
  std::map<StudyKey, Counts> studies;
  Counts session;
  for (int state = 0; state <= static_cast<int>(InstanceState::kConflict); ++state) {
    for (const auto& instance : Reported({static_cast<InstanceState>(state)})) {
      const auto size = sizes_.find(instance.path);
      ASSERT_NE(size, sizes_.end()) << instance.path;
      CountOne(studies[instance.study], static_cast<InstanceState>(state), size->second, instance.attempts);
      CountOne(session, static_cast<InstanceState>(state), size->second, instance.attempts);
    }
  }
  for (const StudyRecord& study : ledger_->Studies(session_, 0, 1000)) {
    SCOPED_TRACE(study.uid);
    ExpectEqual(studies[study.key], study.counts, with_retries);
    EXPECT_EQ(study.unsettled_bytes, study.counts.total_bytes - study.counts.settled_bytes);
  }
  SCOPED_TRACE("session");
  ExpectEqual(session, Session().counts, with_retries);
}

}  // namespace dicom_sender
