#include "tests/unit/coordinator/ledger/ledger_contract.h"

#include <gmock/gmock.h>

#include <random>

namespace dicom_sender {
namespace {

using enum InstanceState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

std::vector<std::string> Paths(const std::vector<ReportedInstance>& instances) {
  std::vector<std::string> paths;
  for (const auto& instance : instances) paths.push_back(instance.path);
  return paths;
}

std::vector<std::uint32_t> Indices(const wire::Page& page) {
  std::vector<std::uint32_t> indices;
  for (const auto& instance : page.instances()) indices.push_back(instance.index());
  return indices;
}

// --- sessions

TEST_P(LedgerContract, ASessionIsFoundByItsUuid) {
  const SessionKey first = CreateSession("first");
  const SessionKey second = CreateSession("second");
  EXPECT_GT(second, first);
  EXPECT_THAT(ledger_->Sessions(), ElementsAre(first, second));
  EXPECT_FALSE(ledger_->FindSession("third"));
  const auto found = ledger_->FindSession("first");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->key, first);
  EXPECT_EQ(found->settings.destination().called_ae(), "PACS");
  EXPECT_EQ(found->settings.attempts_max(), 3U);
  EXPECT_EQ(found->state, wire::SESSION_SCANNING);
  EXPECT_EQ(found->start_time, At(1000));
  EXPECT_FALSE(found->end_time);
  EXPECT_FALSE(found->scan_complete);
  EXPECT_THROW(ledger_->LoadSession(second + 1), LedgerError);
}

TEST_P(LedgerContract, SettingsAreReplaced) {
  const SessionKey other = CreateSession("other");
  CreateSession();
  wire::OpenSession settings = Session().settings;
  settings.set_attempts_max(9);
  InTransaction([&] { ledger_->SetSettings(session_, settings); });
  Reopen();
  EXPECT_EQ(Session().settings.SerializeAsString(), settings.SerializeAsString());
  EXPECT_EQ(ledger_->LoadSession(other).settings.attempts_max(), 3U);
}

TEST_P(LedgerContract, AnEndHasATimeAndAReasonUntilTheSessionIsResumed) {
  CreateSession();
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_UNREACHABLE, "refused", At(9000)); });
  EXPECT_EQ(Session().state, wire::SESSION_UNREACHABLE);
  EXPECT_EQ(Session().end_reason, "refused");
  EXPECT_EQ(Session().end_time, At(9000));
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_SENDING, "", At(9500)); });
  EXPECT_EQ(Session().state, wire::SESSION_SENDING);
  EXPECT_EQ(Session().end_reason, "");
  EXPECT_FALSE(Session().end_time);
}

TEST_P(LedgerContract, ARequestedEndIsKeptUntilTheSessionEnds) {
  CreateSession();
  EXPECT_FALSE(Session().ending);
  InTransaction([&] { ledger_->SetEnding(session_, wire::SESSION_SUSPENDED); });
  Reopen();
  EXPECT_EQ(Session().ending, wire::SESSION_SUSPENDED);
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_SENDING, "", At(1)); });
  EXPECT_EQ(Session().ending, wire::SESSION_SUSPENDED) << "a complete scan does not change it";
  InTransaction([&] { ledger_->SetEnding(session_, std::nullopt); });
  EXPECT_FALSE(Session().ending) << "it is no longer requested";
  InTransaction([&] { ledger_->SetEnding(session_, wire::SESSION_CANCELLED); });
  EXPECT_EQ(Session().ending, wire::SESSION_CANCELLED);
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_CANCELLED, "", At(2)); });
  EXPECT_FALSE(Session().ending);
}

TEST_P(LedgerContract, IgnoredFilesAreThoseOfTheLastScan) {
  CreateSession();
  Scan("", 1, {{"empty", 2}, {"not_dicom", 5}});
  EXPECT_TRUE(Session().scan_complete);
  Scan("", 2, {{"not_dicom", 6}});
  EXPECT_THAT(Session().ignored, ElementsAre(Pair("not_dicom", 6)));
}

TEST_P(LedgerContract, AScanIsCompleteWhenEveryIndexersIs) {
  CreateSession();
  EXPECT_TRUE(BeginScan("a", 1));
  EXPECT_TRUE(BeginScan("b", 1));
  CompleteScan("a", 1, {{"empty", 2}});
  EXPECT_FALSE(Session().scan_complete);
  const auto scans = ledger_->Scans(session_);
  ASSERT_THAT(scans, SizeIs(2));
  EXPECT_EQ(scans[0].indexer, "a");
  EXPECT_TRUE(scans[0].complete);
  EXPECT_EQ(scans[1].indexer, "b");
  EXPECT_FALSE(scans[1].complete);
  Reopen();
  CompleteScan("b", 1, {{"empty", 3}, {"dicomdir", 1}});
  EXPECT_TRUE(Session().scan_complete);
  EXPECT_THAT(Session().ignored, ElementsAre(Pair("dicomdir", 1), Pair("empty", 5)));
  EXPECT_TRUE(BeginScan("a", 2));
  EXPECT_FALSE(Session().scan_complete);
  EXPECT_THAT(Session().ignored, ElementsAre(Pair("dicomdir", 1), Pair("empty", 3))) << "of complete scans";
}

TEST_P(LedgerContract, OnlyTheLastScanOfAnIndexerCounts) {
  CreateSession();
  EXPECT_TRUE(BeginScan("a", 5));
  EXPECT_FALSE(BeginScan("a", 5)) << "repeated";
  EXPECT_FALSE(BeginScan("a", 4)) << "late";
  CompleteScan("a", 4, {{"empty", 9}});
  EXPECT_FALSE(Session().scan_complete);
  CompleteScan("a", 5, {{"empty", 1}});
  EXPECT_TRUE(Session().scan_complete);
  EXPECT_FALSE(BeginScan("a", 5));
  EXPECT_TRUE(Session().scan_complete) << "a repetition does not begin it again";
  CompleteScan("a", 5, {{"empty", 9}});
  CompleteScan("b", 1, {{"empty", 9}});
  EXPECT_THAT(Session().ignored, ElementsAre(Pair("empty", 1)));
}

// --- the feed

TEST_P(LedgerContract, RepeatedBatchesChangeNothing) {
  CreateSession();
  const std::vector<File> files = {{.path = "a", .sop_instance_uid = "1.1"},
                                   {.path = "b", .sop_instance_uid = "1.2", .size_bytes = 30},
                                   {.path = "copy of a", .sop_instance_uid = "1.1"},
                                   {.path = "third of a", .sop_instance_uid = "1.1"},
                                   {.path = "broken", .sop_instance_uid = "1.3", .defect = "truncated"},
                                   {.path = "broken too", .sop_instance_uid = "1.3", .defect = "truncated"},
                                   {.path = "nameless", .sop_instance_uid = "", .defect = "no SOP Instance UID"}};
  const StudyFeed feed = Feed("1", files);
  EXPECT_EQ(feed.pending, 2U);
  EXPECT_EQ(feed.pending_bytes, 1030U);
  for (int repetition = 0; repetition < 2; ++repetition) {
    const StudyFeed again = Feed("1", files);
    EXPECT_EQ(again.study, feed.study);
    EXPECT_EQ(again.pending, 0U);
    EXPECT_EQ(again.pending_bytes, 0U);
    EXPECT_EQ(Session().studies, 1U);
    EXPECT_EQ(Session().counts.total, 7U);
    // A failure since then does not turn copies into new instances.
    Change({To(feed.study, 0, kFailed)});
  }
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, FurtherInstancesContinueTheIndicesOfTheirStudy) {
  CreateSession();
  const StudyKey study = Feed("1", {{.path = "a", .sop_instance_uid = "1.1"}}).study;
  const StudyFeed more =
      Feed("1", {{.path = "a", .sop_instance_uid = "1.1"}, {.path = "b", .sop_instance_uid = "1.2"}});
  EXPECT_EQ(more.study, study);
  EXPECT_EQ(more.pending, 1U);
  EXPECT_THAT(Indices(ledger_->LoadPage(study, 1, 0, 10)), ElementsAre(0, 1));
}

TEST_P(LedgerContract, AStudyThatOccursTwiceInABatchIsMerged) {
  CreateSession();
  wire::PublishBatch batch = Batch("1", {{.path = "a", .sop_instance_uid = "1.1"}});
  batch.MergeFrom(Batch("1", {{.path = "b", .sop_instance_uid = "1.2"}}));
  std::vector<StudyFeed> feeds;
  InTransaction([&] { feeds = ledger_->AddStudies(session_, batch); });
  std::uint32_t pending = 0;
  for (const auto& feed : feeds) pending += feed.pending;
  EXPECT_EQ(pending, 2U);
  EXPECT_EQ(Session().studies, 1U);
  EXPECT_EQ(Session().counts.total, 2U);
}

TEST_P(LedgerContract, TheSameSopInstanceAtAnotherPathIsSkipped) {
  CreateSession();
  const StudyFeed feed = Feed("1", {{.path = "a", .sop_instance_uid = "1.1"},
                                    {.path = "b", .sop_instance_uid = "1.1"},
                                    {.path = "c", .sop_instance_uid = "1.1", .size_bytes = 1001}});
  EXPECT_EQ(feed.pending, 1U);
  const StudyFeed other = Feed("2", {{.path = "d", .sop_instance_uid = "1.1"}});
  EXPECT_EQ(other.pending, 0U) << "in another study, too";
  EXPECT_EQ(Session().counts.skipped, 3U);
  const auto skipped = Reported({kSkipped});
  EXPECT_THAT(Paths(skipped), ElementsAre("/data/b", "/data/c", "/data/d"));
  EXPECT_EQ(skipped[0].reason, "same SOP Instance UID as /data/a, not compared");
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, ACopyOfAFailedInstanceIsNotSkipped) {
  CreateSession();
  const StudyFeed feed = Feed("1", {{.path = "broken", .sop_instance_uid = "1.1", .defect = "truncated"},
                                    {.path = "whole", .sop_instance_uid = "1.1"},
                                    {.path = "copy", .sop_instance_uid = "1.1"}});
  EXPECT_EQ(feed.pending, 1U);
  EXPECT_THAT(Reported({kSkipped}).at(0).reason, HasSubstr("as /data/whole"));
  Change({To(feed.study, 1, kFailed)});
  EXPECT_EQ(Feed("1", {{.path = "another", .sop_instance_uid = "1.1"}}).pending, 1U);
  EXPECT_EQ(Feed("1", {{.path = "yet another", .sop_instance_uid = "1.1"}}).pending, 0U);
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, FilesWithoutSopInstanceUidAreNotCopiesOfEachOther) {
  CreateSession();
  Feed("1", {{.path = "a", .sop_instance_uid = "", .defect = "no SOP Instance UID"},
             {.path = "b", .sop_instance_uid = "", .defect = "no SOP Instance UID"}});
  EXPECT_EQ(Session().counts.failed, 2U);
  EXPECT_EQ(Session().counts.skipped, 0U);
}

TEST_P(LedgerContract, SessionsDoNotShareFiles) {
  CreateSession("first");
  FeedStudy("1", 3);
  const SessionKey first = session_;
  CreateSession("second");
  EXPECT_EQ(ledger_->LoadStudy(FeedStudy("1", 3)).counts.unsettled(), 3U);
  EXPECT_EQ(ledger_->LoadSession(first).counts.total, 3U);
  Change({To(ledger_->Studies(session_, 0, 1).at(0).key, 0, kFailed)});
  EXPECT_EQ(ledger_->LoadSession(first).counts.failed, 0U);
  EXPECT_THAT(Reported({kPending}, first), SizeIs(3));
  EXPECT_THAT(Reported({kPending}), SizeIs(2));
}

TEST_P(LedgerContract, TheSamePathBelowAnotherRootIsAnotherFile) {
  CreateSession();
  const StudyFeed feed = Feed("1", {{.path = "a", .sop_instance_uid = "1.1", .root = "/data"},
                                    {.path = "a", .sop_instance_uid = "1.2", .root = "/more/"},
                                    {.path = "/alone", .sop_instance_uid = "1.3", .root = ""}});
  EXPECT_EQ(feed.pending, 3U);
  EXPECT_THAT(Paths(Reported({kPending})), ElementsAre("/data/a", "/more/a", "/alone"));
  const wire::Page page = ledger_->LoadPage(feed.study, 1, 0, 10);
  ASSERT_EQ(page.roots_size(), 3);
  std::map<std::uint32_t, std::string> roots;
  for (const auto& root : page.roots()) roots[root.id()] = root.path();
  EXPECT_EQ(roots.at(page.instances(0).root()), "/data");
  EXPECT_EQ(roots.at(page.instances(1).root()), "/more/");
  EXPECT_EQ(roots.at(page.instances(2).root()), "");
}

TEST_P(LedgerContract, AnInstanceWhoseRootIsNotInTheBatchHasAnEmptyOne) {
  CreateSession();
  wire::PublishBatch batch = Batch("1", {{.path = "/abs", .sop_instance_uid = "1.1"}});
  batch.clear_roots();
  InTransaction([&] { ledger_->AddStudies(session_, batch); });
  EXPECT_THAT(Paths(Reported({kPending})), ElementsAre("/abs"));
}

TEST_P(LedgerContract, FilesWithoutStudyInstanceUidFormTheirOwnStudy) {
  CreateSession();
  const StudyKey nameless = Feed("", {{.path = "a", .sop_instance_uid = "1.1"}}).study;
  EXPECT_NE(FeedStudy("2", 1), nameless);
  EXPECT_EQ(Feed("", {{.path = "b", .sop_instance_uid = "1.2"}}).study, nameless);
  EXPECT_EQ(ledger_->LoadStudy(nameless).uid, "");
  EXPECT_EQ(ledger_->LoadStudy(nameless).counts.total, 2U);
}

TEST_P(LedgerContract, ContextPairsCoverSendableInstancesOnly) {
  CreateSession();
  const StudyKey study =
      Feed("1", {{.path = "a", .sop_instance_uid = "1.1", .sop_class_uid = "1.9.1"},
                 {.path = "b", .sop_instance_uid = "1.2", .sop_class_uid = "1.9.2"},
                 {.path = "c", .sop_instance_uid = "1.3", .sop_class_uid = "1.9.1"},
                 {.path = "d", .sop_instance_uid = "1.4", .defect = "truncated", .sop_class_uid = "1.9.3"},
                 {.path = "e", .sop_instance_uid = "1.1", .sop_class_uid = "1.9.4"}})
          .study;
  std::vector<std::string> classes;
  for (const auto& pair : ledger_->ContextPairs(study, 10)) classes.push_back(pair.sop_class_uid());
  EXPECT_THAT(classes, ElementsAre("1.9.1", "1.9.2"));
  EXPECT_THAT(ledger_->ContextPairs(study, 1), SizeIs(1));
  EXPECT_EQ(ledger_->ContextPairs(study, 1)[0].transfer_syntax_uid(), "1.2.840.10008.1.2.1");
}

TEST_P(LedgerContract, ContextPairsComeInTheOrderInWhichTheyWereFound) {
  CreateSession();
  const auto classes_of = [&](const auto& pairs) {
    std::vector<std::string> classes;
    for (const auto& pair : pairs) classes.push_back(pair.sop_class_uid());
    return classes;
  };
  const StudyKey study = Feed("1", {{.path = "a", .sop_instance_uid = "1.1", .sop_class_uid = "1.9.7"},
                                    {.path = "b", .sop_instance_uid = "1.2", .sop_class_uid = "1.9.3"},
                                    {.path = "c", .sop_instance_uid = "1.3", .sop_class_uid = "1.9.5"}})
                             .study;
  Feed("1", {{.path = "d", .sop_instance_uid = "1.4", .sop_class_uid = "1.9.4"},
             {.path = "e", .sop_instance_uid = "1.5", .sop_class_uid = "1.9.3"},
             {.path = "f", .sop_instance_uid = "1.6", .sop_class_uid = "1.9.1"}});
  EXPECT_THAT(classes_of(ledger_->ContextPairs(study, 10)), ElementsAre("1.9.7", "1.9.3", "1.9.5", "1.9.4", "1.9.1"));
  EXPECT_THAT(classes_of(ledger_->ContextPairs(study, 2)), ElementsAre("1.9.7", "1.9.3"));
  std::vector<wire::ContextPair> counted;
  for (const PairCount& count : ledger_->PairCounts(session_)) counted.push_back(count.pair);
  EXPECT_THAT(classes_of(counted), ElementsAre("1.9.7", "1.9.3", "1.9.5", "1.9.4", "1.9.1"));
}

// --- pages

TEST_P(LedgerContract, PagesHoldTheUnsettledInstancesInTheirOrder) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 10);
  Change({To(study, 0, kStored), To(study, 3, kDelayed), To(study, 4, kFailed), To(study, 8, kStoredWithWarning)});
  const wire::Page first = ledger_->LoadPage(study, 77, 0, 4);
  EXPECT_EQ(first.lease_id(), 77U);
  EXPECT_EQ(first.from_index(), 0U);
  EXPECT_THAT(Indices(first), ElementsAre(1, 2, 3, 5));
  EXPECT_EQ(first.next_index(), 6U);
  const wire::Page second = ledger_->LoadPage(study, 77, 6, 4);
  EXPECT_THAT(Indices(second), ElementsAre(6, 7, 9));
  EXPECT_EQ(second.next_index(), 0U);
  const wire::Page exact = ledger_->LoadPage(study, 77, 6, 3);
  EXPECT_EQ(exact.instances_size(), 3);
  EXPECT_EQ(exact.next_index(), 0U) << "nothing is left, though the page is full";
  EXPECT_EQ(ledger_->LoadPage(study, 77, 10, 4).instances_size(), 0);
}

TEST_P(LedgerContract, AnInstanceIsReadAsItWasWritten) {
  CreateSession();
  const std::string path("folder/\xE4\xFF\n\0name", 15);
  const StudyKey study = Feed("1", {{.path = path, .sop_instance_uid = "1.1", .size_bytes = 1ULL << 40}}).study;
  const wire::Page page = ledger_->LoadPage(study, 1, 0, 10);
  ASSERT_EQ(page.instances_size(), 1);
  const auto& instance = page.instances(0);
  EXPECT_EQ(instance.path(), path);
  EXPECT_EQ(instance.sop_class_uid(), "1.2.840.10008.5.1.4.1.1.2");
  EXPECT_EQ(instance.sop_instance_uid(), "1.1");
  EXPECT_EQ(instance.transfer_syntax_uid(), "1.2.840.10008.1.2.1");
  EXPECT_EQ(instance.dataset_offset(), 330U);
  EXPECT_EQ(instance.size_bytes(), 1ULL << 40);
  EXPECT_EQ(instance.mtime_ns(), 1'700'000'000'123'456'789);
}

// --- leases

TEST_P(LedgerContract, LeasesAreKeptPermanently) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 2);
  const StudyKey other = FeedStudy("2", 2);
  EXPECT_EQ(ledger_->LastLeaseId(), 0U);
  EXPECT_FALSE(ledger_->FindLease(1));
  const LeaseId first = Grant(study);
  Grant(other);
  InTransaction([&] { ledger_->EndLease(study, true); });
  EXPECT_EQ(ledger_->FindLease(first)->study, study);
  EXPECT_EQ(ledger_->FindLease(first)->id, first);
  EXPECT_EQ(ledger_->FindLease(first)->worker, "w");
  EXPECT_EQ(ledger_->FindLease(first)->identity, kIdentity);
  EXPECT_EQ(ledger_->LoadStudy(study).lease, 0U);
  EXPECT_EQ(ledger_->LoadStudy(study).first_lease_time, At(2000));
  const auto leased = ledger_->LeasedStudies(session_);
  ASSERT_THAT(leased, SizeIs(1));
  EXPECT_EQ(leased[0].key, other);
  EXPECT_EQ(leased[0].lease_worker, "w");
  EXPECT_EQ(ledger_->LastLeaseId(), 2U);
  CreateSession("other");
  EXPECT_THAT(ledger_->LeasedStudies(session_), IsEmpty());
}

TEST_P(LedgerContract, InstancesOfALostLeaseMayBeStored) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 10);
  Grant(study);
  InTransaction([&] {
    ledger_->SetPageEnd(study, 6);
    ledger_->SetPageEnd(study, 4);  // a page that was requested again
  });
  EXPECT_EQ(ledger_->LoadStudy(study).page_end, 6U);
  InTransaction([&] { ledger_->EndLease(study, false); });
  EXPECT_EQ(ledger_->LoadStudy(study).suspect_end, 6U);
  const LeaseId second = Grant(study);
  EXPECT_EQ(ledger_->LoadStudy(study).page_end, 0U);
  EXPECT_EQ(ledger_->FindLease(second)->suspect_end, 6U);
  InTransaction([&] {
    ledger_->SetPageEnd(study, 8);
    ledger_->EndLease(study, true);
  });
  EXPECT_EQ(ledger_->LoadStudy(study).suspect_end, 6U) << "its worker has reported everything";
  Grant(study);
  InTransaction([&] {
    ledger_->SetPageEnd(study, 3);
    ledger_->EndLease(study, false);
  });
  EXPECT_EQ(ledger_->LoadStudy(study).suspect_end, 6U);
}

TEST_P(LedgerContract, InstancesOfASecondLostLeaseCountAsResent) {
  const SessionKey session = CreateSession();
  const StudyKey study = FeedStudy("1", 10);
  const auto lose = [&](std::uint32_t page_end) {
    Grant(study);
    std::uint64_t resends = 0;
    InTransaction([&] {
      ledger_->SetPageEnd(study, page_end);
      resends = ledger_->EndLease(study, false);
    });
    return resends;
  };
  EXPECT_EQ(lose(6), 0U) << "for the first time";
  EXPECT_EQ(lose(8), 6U);
  Change({To(study, 0, kStored)});
  EXPECT_EQ(lose(3), 2U) << "one is settled";
  EXPECT_EQ(ledger_->LoadStudy(study).counts.resends, 8U);
  EXPECT_EQ(ledger_->LoadSession(session).counts.resends, 8U);
}

TEST_P(LedgerContract, AReportIsRememberedWithItsLease) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 2);
  const LeaseId lease = Grant(study);
  EXPECT_EQ(ledger_->FindLease(lease)->last_report_seq, 0U);
  const auto report = [&](LeaseId id, std::uint64_t seq, std::uint32_t associations) {
    InTransaction([&] { ledger_->RecordReport(ledger_->FindLease(id).value(), seq, associations); });
  };
  report(lease, 1, 2);
  report(lease, 2, 2);
  report(lease, 3, 0);
  EXPECT_EQ(ledger_->FindLease(lease)->last_report_seq, 3U);
  EXPECT_EQ(ledger_->FindLease(lease)->associations, 2U);
  EXPECT_EQ(Session().counts.associations, 2U);
  report(lease, 4, 3);
  const LeaseId second = Grant(study);
  report(second, 1, 1);
  EXPECT_EQ(ledger_->LoadStudy(study).counts.associations, 4U);
  EXPECT_EQ(Session().counts.associations, 4U);
  Reopen();
  EXPECT_EQ(ledger_->FindLease(lease)->last_report_seq, 4U);
  EXPECT_EQ(ledger_->FindLease(second)->last_report_seq, 1U);
}

TEST_P(LedgerContract, AWorkersThreadsAreItsLargestCapacity) {
  CreateSession();
  const auto grant = [this](const std::string& worker, std::uint32_t threads) {
    const StudyKey study = FeedStudy(std::to_string(last_lease_ + 1), 1);
    InTransaction([&] { ledger_->GrantLease(study, ++last_lease_, worker, "", threads, At(1)); });
  };
  grant("a", 4);
  grant("a", 2);
  grant("b", 3);
  EXPECT_EQ(ledger_->Workers(session_).threads, 7U);
  EXPECT_EQ(ledger_->FindLease(last_lease_)->identity, "");
}

TEST_P(LedgerContract, WorkersAreCountedOncePerSession) {
  CreateSession("first");
  EXPECT_EQ(ledger_->Workers(session_).workers, 0U);
  for (const char* worker : {"a", "b", "a"}) Grant(FeedStudy(std::to_string(last_lease_ + 1), 1), worker);
  const SessionKey first = session_;
  CreateSession("second");
  Grant(FeedStudy("1", 1), "c");
  EXPECT_EQ(ledger_->Workers(first).workers, 2U);
  EXPECT_EQ(ledger_->Workers(session_).workers, 1U);
}

// --- instances

TEST_P(LedgerContract, OnlyExistingIndicesAreLoaded) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 3);
  Change({To(study, 1, kDelayed, 2)});
  const auto facts = Facts(study, {2, 7, 1});
  ASSERT_THAT(facts, SizeIs(2));
  EXPECT_EQ(facts[0].index, 2U);
  EXPECT_EQ(facts[0].state, kPending);
  EXPECT_EQ(facts[1].index, 1U);
  EXPECT_EQ(facts[1].state, kDelayed);
  EXPECT_EQ(facts[1].attempts, 2U);
}

TEST_P(LedgerContract, AMissingInstanceCannotBeChanged) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 1);
  ledger_->Begin();
  const std::vector<InstanceChange> changes = {To(study, 1, kStored)};
  EXPECT_THROW(ledger_->ChangeInstances(changes, At(1)), LedgerError);
  EXPECT_THROW(ledger_->LoadStudy(study + 1), LedgerError);
}

// Otherwise its counts would be wrong from then on.
TEST_P(LedgerContract, AnInstanceThatChangedSinceItWasReadCannotBeChanged) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 1);
  InstanceChange change = To(study, 0, kStored);
  change.before = Facts(study, {0}).at(0);
  Change({To(study, 0, kDelayed)});
  ledger_->Begin();
  EXPECT_THROW(ledger_->ChangeInstances(std::span(&change, 1), At(1)), LedgerError);
}

TEST_P(LedgerContract, LoadReturnsTheFactsThatAChangeNeeds) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 2);  // of 100 and 101 bytes
  EXPECT_EQ(Facts(study, {1}).at(0), (InstanceFacts{.index = 1, .size_bytes = 101}));
  InstanceChange change = To(study, 1, kDelayed, 3);
  change.duration_us = 700;
  change.may_be_stored = true;
  Change({change});
  EXPECT_EQ(Facts(study, {1}).at(0), (InstanceFacts{.index = 1,
                                                    .state = kDelayed,
                                                    .attempts = 3,
                                                    .may_be_stored = true,
                                                    .size_bytes = 101,
                                                    .duration_us = 700}));
}

TEST_P(LedgerContract, CountsFollowEveryChangeOfState) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 1);
  const InstanceState states[] = {kPending, kDelayed, kStored, kStoredWithWarning, kFailed};
  std::uint32_t attempts = 0;
  for (const InstanceState from : states) {
    for (const InstanceState to : states) {
      SCOPED_TRACE(std::to_string(static_cast<int>(from)) + " to " + std::to_string(static_cast<int>(to)));
      Change({To(study, 0, from, ++attempts)});
      Change({To(study, 0, to, ++attempts)});
      EXPECT_EQ(Facts(study, {0}).at(0).state, to);
      ExpectCountsAreThoseOfTheInstances();
    }
  }
  Change({To(study, 0, kPending, 0)});
  EXPECT_EQ(Session().counts.retries, 0U) << "also when the attempts go down";
}

TEST_P(LedgerContract, AFailedInstanceThatIsStoredLaterIsNoLongerAFailure) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 2);
  InstanceChange failed = To(study, 0, kFailed, 2);
  failed.status = 0xA700;
  failed.reason = "A700 (out of resources)";
  Change({failed});
  EXPECT_EQ(Reported({kFailed}).at(0).status, 0xA700);
  InstanceChange stored = To(study, 0, kStored, 3);
  stored.status = 0;
  stored.resend = true;
  Change({stored, To(study, 1, kStored)});
  EXPECT_THAT(Reported({kFailed}), IsEmpty());
  const ReportedInstance report = Reported({kStored}).at(0);
  EXPECT_EQ(report.status, 0);
  EXPECT_EQ(report.reason, "");
  EXPECT_EQ(report.attempts, 3U);
  EXPECT_EQ(Session().counts.retries, 2U);
  EXPECT_EQ(Session().counts.resends, 1U);
  EXPECT_EQ(ledger_->LoadStudy(study).last_outcome_time, At(5000));
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, AnInstanceMayChangeTwiceInOneCall) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 2);
  Change({To(study, 0, kDelayed, 1), To(study, 1, kStored, 1), To(study, 0, kFailed, 2)});
  EXPECT_EQ(Session().counts.failed, 1U);
  EXPECT_EQ(Session().counts.stored, 1U);
  EXPECT_EQ(Session().counts.retries, 1U);
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, TheEndOfASessionChangesNoInstance) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 3);
  Change({To(study, 0, kStored), To(study, 1, kDelayed, 2)});
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_UNREACHABLE, "no route", At(9000)); });
  InTransaction([&] { ledger_->SetSessionState(session_, wire::SESSION_SENDING, "", At(9500)); });
  EXPECT_EQ(Session().counts.unsettled(), 2U);
  EXPECT_EQ(Session().counts.failed, 0U);
  EXPECT_EQ(Facts(study, {1}).at(0).state, kDelayed);
  EXPECT_EQ(Facts(study, {1}).at(0).attempts, 2U);
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, FailingAStudyFailsItsUnsettledInstances) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 6);
  const StudyKey other = FeedStudy("2", 2);
  InstanceChange delayed = To(study, 1, kDelayed, 2);
  delayed.status = 0xA700;
  delayed.reason = "A700 (out of resources)";
  delayed.may_be_stored = true;
  delayed.worker = "w1";
  InstanceChange failed = To(study, 2, kFailed);
  failed.status = 0xC000;
  failed.reason = "C000 (cannot understand)";
  Change({To(study, 0, kStored), delayed, failed, To(study, 3, kStoredWithWarning)});
  std::uint64_t instances = 0;
  const auto fail = [&] {
    InTransaction([&] { instances = ledger_->FailStudy(study, "the association was refused", At(7000)); });
  };
  fail();
  EXPECT_EQ(instances, 3U);
  EXPECT_EQ(Session().counts.failed, 4U);
  EXPECT_EQ(ledger_->LoadStudy(study).counts.unsettled(), 0U);
  EXPECT_EQ(ledger_->LoadStudy(other).counts.unsettled(), 2U);
  EXPECT_EQ(ledger_->LoadStudy(study).last_outcome_time, At(7000));
  const auto reported = Reported({kFailed});
  ASSERT_THAT(reported, SizeIs(4));
  EXPECT_EQ(reported[0].index, 1U);
  EXPECT_EQ(reported[0].reason, "the association was refused");
  EXPECT_FALSE(reported[0].status);
  EXPECT_EQ(reported[0].attempts, 2U);
  EXPECT_EQ(reported[0].worker, "w1");
  EXPECT_TRUE(Facts(study, {1}).at(0).may_be_stored);
  EXPECT_EQ(reported[1].reason, "C000 (cannot understand)") << "what had failed before stays as it was";
  EXPECT_EQ(reported[2].worker, "");
  ExpectCountsAreThoseOfTheInstances();

  InTransaction([&] { EXPECT_EQ(ledger_->FailStudy(other, "another reason", At(8000)), 2U); });
  fail();
  EXPECT_EQ(instances, 0U) << "nothing is unsettled any more";
  EXPECT_EQ(ledger_->LoadStudy(study).last_outcome_time, At(7000));
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, AnOutcomeNamesTheWorkerThatReportedIt) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 5);
  Feed("1", {{.path = "broken", .sop_instance_uid = "9.9", .defect = "truncated"}});
  const auto by = [&](std::uint32_t index, InstanceState state, const std::string& worker) {
    InstanceChange change = To(study, index, state);
    change.worker = worker;
    return change;
  };
  const std::string odd = "w\\2 \xC3\xA4 \xFF";
  const auto workers = [&](InstanceState state) {
    std::vector<std::string> found;
    for (const auto& instance : Reported({state})) found.push_back(instance.worker);
    return found;
  };
  Change(
      {by(0, kFailed, "w1"), by(1, kFailed, odd), by(2, kFailed, "w1"), by(3, kStored, odd), by(4, kDelayed, "w1")});
  EXPECT_THAT(workers(kFailed), ElementsAre("w1", odd, "w1", ""));
  EXPECT_THAT(workers(kStored), ElementsAre(odd));
  EXPECT_THAT(workers(kDelayed), ElementsAre("w1"));
  Reopen();
  Change({by(4, kFailed, odd), by(0, kStored, "w3"), by(2, kFailed, "")});
  EXPECT_THAT(workers(kFailed), ElementsAre(odd, "", odd, ""));
  EXPECT_THAT(workers(kStored), ElementsAre("w3", odd));
  InTransaction([&] { ledger_->Requeue(session_, {}); });
  EXPECT_THAT(workers(kPending), ElementsAre("", "", "")) << "a requeued instance has no outcome";
}

TEST_P(LedgerContract, PossiblyStoredInstancesAreSentAlone) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 3);
  InstanceChange unanswered = To(study, 1, kPending);
  unanswered.may_be_stored = true;
  Change({unanswered});
  const wire::Page page = ledger_->LoadPage(study, 1, 0, 10);
  ASSERT_EQ(page.instances_size(), 3);
  EXPECT_FALSE(page.instances(0).alone());
  EXPECT_TRUE(page.instances(1).alone());
  EXPECT_EQ(Session().counts.unsettled(), 3U);
  EXPECT_EQ(Session().counts.retries, 0U);
}

TEST_P(LedgerContract, FailuresAreRequeuedUnlessTheFileHasADefect) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 4);
  Feed("1", {{.path = "broken", .sop_instance_uid = "9.9", .defect = "truncated"},
             {.path = "copy", .sop_instance_uid = "1.0"}});
  Change({To(study, 0, kFailed, 5), To(study, 1, kStored), To(study, 2, kDelayed, 2)});
  InTransaction([&] { ledger_->Requeue(session_, {}); });
  EXPECT_THAT(Indices(ledger_->LoadPage(study, 1, 0, 10)), ElementsAre(0, 2, 3));
  EXPECT_EQ(Facts(study, {0}).at(0).attempts, 0U) << "it begins anew";
  EXPECT_EQ(Facts(study, {2}).at(0).state, kDelayed) << "it has not failed";
  EXPECT_EQ(Facts(study, {2}).at(0).attempts, 2U);
  EXPECT_THAT(Paths(Reported({kFailed})), ElementsAre("/data/broken"));
  ExpectCountsAreThoseOfTheInstances(/*with_retries=*/false);
  InTransaction([&] { EXPECT_THAT(ledger_->Requeue(session_, {}), IsEmpty()); });
  EXPECT_EQ(Session().counts.failed, 1U) << "nothing is left to requeue";
}

TEST_P(LedgerContract, WithoutAConditionAllFailuresAreRequeued) {
  FeedFailures();
  EXPECT_THAT(Requeued({}), ElementsAre("1.0", "1.1", "1.2", "2.0", "2.1"));
}

TEST_P(LedgerContract, FailuresAreRequeuedByStatus) {
  FeedFailures();
  EXPECT_THAT(Requeued({.status = 0xA700}), ElementsAre("1.0", "2.0"));
  EXPECT_THAT(Requeued({.status = 0xA700}), IsEmpty());
}

TEST_P(LedgerContract, FailuresAreRequeuedByStudy) {
  FeedFailures();
  EXPECT_THAT(Requeued({.study_instance_uid = "no such study"}), IsEmpty());
  std::vector<StudyFeed> feeds;
  InTransaction([&] { feeds = ledger_->Requeue(session_, {.study_instance_uid = "2"}); });
  ASSERT_THAT(feeds, SizeIs(1));
  EXPECT_EQ(ledger_->LoadStudy(feeds[0].study).uid, "2");
  EXPECT_EQ(feeds[0].pending, 2U);
  EXPECT_EQ(feeds[0].pending_bytes, 201U);
}

TEST_P(LedgerContract, FailuresAreRequeuedByPartOfTheReasonIgnoringCase) {
  FeedFailures();
  EXPECT_THAT(Requeued({.reason = "no such FILE"}), ElementsAre("1.2"));
  EXPECT_THAT(Requeued({.reason = "OUT of"}), ElementsAre("1.0", "2.0"));
  EXPECT_THAT(Requeued({.reason = "100%"}), IsEmpty());
  EXPECT_THAT(Requeued({.reason = "C___"}), IsEmpty()) << "it is not a pattern";
}

TEST_P(LedgerContract, FailuresAreRequeuedByAReasonThatIsNotAscii) {
  FeedFailures();
  EXPECT_THAT(Requeued({.reason = "\xC3\xA4"}), IsEmpty()) << "only ASCII letters match in either case";
  EXPECT_THAT(Requeued({.reason = "\xC3\x84\\B"}), ElementsAre("1.2"));
}

TEST_P(LedgerContract, FailuresAreRequeuedByWorker) {
  FeedFailures();
  EXPECT_THAT(Requeued({.worker = "w3"}), IsEmpty());
  EXPECT_THAT(Requeued({.worker = "w2"}), ElementsAre("1.1", "1.2", "2.0"));
}

TEST_P(LedgerContract, FailuresAreRequeuedByAllConditionsTogether) {
  FeedFailures();
  EXPECT_THAT(Requeued({.status = 0xC000, .worker = "w1"}), IsEmpty());
  EXPECT_THAT(Requeued({.status = 0xA700, .study_instance_uid = "2", .reason = "resources", .worker = "w2"}),
              ElementsAre("2.0"));
  EXPECT_THAT(Requeued({.reason = "C000", .worker = "w2"}), ElementsAre("1.1"));
}

// Publishes, changes, fails by study, and requeues instances of one session at random.
class RandomSession {
 public:
  explicit RandomSession(unsigned seed) : random_(seed) {}

  std::uint32_t Below(std::uint32_t end) { return static_cast<std::uint32_t>(random_() % end); }
  std::string Study() { return std::to_string(Below(4)); }

  // Names, sizes, and defects are derived from a number, so that files are repeated. Each SOP Instance UID has two
  // paths.
  std::vector<File> Files() {
    std::vector<File> files;
    for (int i = 0; i < 5; ++i) {
      const std::uint32_t number = Below(40);
      const std::uint32_t uid = number / 2;
      files.push_back({.path = std::to_string(number),
                       .sop_instance_uid = uid % 7 == 6 ? "" : std::to_string(uid),
                       .size_bytes = 100 + number,
                       .defect = number % 5 == 4 ? "truncated" : ""});
    }
    return files;
  }
  InstanceState Outcome() {
    constexpr InstanceState kOutcomes[] = {kDelayed, kStored, kStoredWithWarning, kFailed};
    return kOutcomes[Below(4)];
  }

 private:
  std::mt19937 random_;
};

TEST_P(LedgerContract, CountsAreConsistentAfterRandomChanges) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    RandomSession random(seed);
    CreateSession("session " + std::to_string(seed));
    for (int step = 0; step < 60; ++step) {
      const std::uint32_t what = random.Below(10);
      if (what < 3) {
        Feed(random.Study(), random.Files());
      } else if (what == 3) {
        InTransaction([&] {
          for (const StudyRecord& study : ledger_->Studies(session_, random.Below(100), 1)) {
            ledger_->FailStudy(study.key, "refused", At(5000));
          }
        });
      } else if (what == 4) {
        InTransaction([&] { ledger_->Requeue(session_, {}); });
      } else {
        std::vector<InstanceChange> changes;
        for (const StudyRecord& study : ledger_->Studies(session_, 0, 1 + random.Below(4))) {
          for (const auto& facts : Facts(study.key, {random.Below(4), 4 + random.Below(4)})) {
            if (facts.state == kSkipped) continue;
            changes.push_back(To(study.key, facts.index, random.Outcome(), facts.attempts + 1));
          }
        }
        Change(changes);
      }
      ExpectCountsAreThoseOfTheInstances(/*with_retries=*/false);
      if (HasFailure()) return;
    }
    EXPECT_GT(Session().counts.total, 20U);
    EXPECT_GT(Session().counts.skipped, 0U);
  }
}

// --- reports

TEST_P(LedgerContract, AReportIsReadInPages) {
  CreateSession("other");
  FeedStudy("3", 3);
  CreateSession();
  const StudyKey a = FeedStudy("1", 20);
  const StudyKey b = FeedStudy("2", 20);
  std::vector<InstanceChange> changes;
  for (std::uint32_t i = 0; i < 20; ++i) {
    changes.push_back(To(a, i, i % 2 == 0 ? kFailed : kStored));
    changes.push_back(To(b, i, i < 10 ? kFailed : kStoredWithWarning));
  }
  Change(changes);
  std::vector<std::pair<StudyKey, std::uint32_t>> expected, seen;
  for (std::uint32_t i = 0; i < 20; i += 2) expected.emplace_back(a, i);
  for (std::uint32_t i = 0; i < 10; ++i) expected.emplace_back(b, i);
  for (const auto& instance : Reported({kFailed})) seen.emplace_back(instance.study, instance.index);
  EXPECT_EQ(seen, expected);
  const ReportedInstance last = Reported({kStoredWithWarning}).back();
  EXPECT_EQ(last.path, "/data/2/19");
  EXPECT_EQ(last.study_instance_uid, "2");
  EXPECT_EQ(last.sop_instance_uid, "2.19");
  EXPECT_EQ(last.attempts, 1U);
  EXPECT_THAT(Reported({kPending, kDelayed}), IsEmpty());
}

TEST_P(LedgerContract, OutcomesOfSeveralStudiesMayComeInAnyOrder) {
  CreateSession();
  const StudyKey first = FeedStudy("1", 3);
  const StudyKey second = FeedStudy("2", 6);
  Change({To(first, 0, kStored), To(second, 1, kFailed), To(second, 2, kStored), To(second, 5, kDelayed),
          To(second, 4, kFailed), To(first, 1, kFailed)});
  EXPECT_THAT(Indices(ledger_->LoadPage(first, 1, 0, 10)), ElementsAre(2));
  EXPECT_THAT(Indices(ledger_->LoadPage(second, 1, 0, 10)), ElementsAre(0, 3, 5));
  const std::vector<std::uint32_t> asked{4, 0, 1, 2, 9, 5};
  std::vector<std::pair<std::uint32_t, InstanceState>> found;
  for (const auto& facts : ledger_->LoadInstances(second, asked)) found.emplace_back(facts.index, facts.state);
  EXPECT_THAT(
      found, ElementsAre(Pair(4, kFailed), Pair(0, kPending), Pair(1, kFailed), Pair(2, kStored), Pair(5, kDelayed)));
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(LedgerContract, ATransactionSeesItsOwnChanges) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 2);
  InTransaction([&] {
    ReadAndChange(*ledger_, {To(study, 0, kStored)}, At(1));
    EXPECT_EQ(ledger_->LoadSession(session_).counts.stored, 1U);
    EXPECT_EQ(ledger_->FindSession("session")->counts.stored, 1U);
  });
  EXPECT_EQ(ledger_->LoadSession(session_).counts.stored, 1U);
  EXPECT_EQ(ledger_->LoadSession(session_).studies, 1U);
}

TEST_P(LedgerContract, StudiesAreReadInPages) {
  CreateSession("other");
  FeedStudy("9", 1);
  CreateSession();
  const StudyKey first = FeedStudy("3", 1);
  const StudyKey second = FeedStudy("1", 2);
  const StudyKey third = FeedStudy("2", 1);
  Change({To(second, 0, kStored), To(second, 1, kFailed)});
  const auto keys = [&](StudyKey after, std::size_t limit) {
    std::vector<StudyKey> found;
    for (const auto& study : ledger_->Studies(session_, after, limit)) found.push_back(study.key);
    return found;
  };
  EXPECT_THAT(keys(0, 2), ElementsAre(first, second));
  EXPECT_THAT(keys(second, 2), ElementsAre(third));
  const auto unsettled = [&](StudyKey after, std::size_t limit) {
    std::vector<std::tuple<StudyKey, std::uint32_t, std::uint64_t>> found;
    for (const auto& feed : ledger_->UnsettledStudies(session_, after, limit)) {
      found.emplace_back(feed.study, feed.pending, feed.pending_bytes);
    }
    return found;
  };
  const auto whole = [&](StudyKey study) {
    const StudyRecord record = ledger_->LoadStudy(study);
    return std::tuple(study, 1U, record.counts.total_bytes);
  };
  EXPECT_THAT(unsettled(0, 9), ElementsAre(whole(first), whole(third)));
  EXPECT_THAT(unsettled(0, 1), ElementsAre(whole(first)));
  EXPECT_THAT(unsettled(first, 9), ElementsAre(whole(third)));
}

TEST_P(LedgerContract, FailureReasonsAreCountedMostFrequentFirst) {
  CreateSession("other");
  const StudyKey other = FeedStudy("1", 1);
  InstanceChange change = To(other, 0, kFailed);
  change.reason = "of the other session";
  Change({change});
  CreateSession();
  const StudyKey study = FeedStudy("1", 10);
  EXPECT_EQ(ledger_->CountFailureReasons(session_, 3).distinct, 0U);
  const std::vector<std::string> reasons = {"b", "a", "c", "b", "d", "c", "b"};
  for (std::uint32_t i = 0; i < reasons.size(); ++i) {
    change = To(study, i, kFailed);
    change.reason = reasons[i];
    Change({change});
  }
  const FailureReasons found = ledger_->CountFailureReasons(session_, 3);
  EXPECT_EQ(found.distinct, 4U);
  ASSERT_THAT(found.most_frequent, SizeIs(3));
  EXPECT_EQ(found.most_frequent[0].reason, "b");
  EXPECT_EQ(found.most_frequent[0].instances, 3U);
  EXPECT_EQ(found.most_frequent[1].reason, "c");
  EXPECT_EQ(found.most_frequent[2].reason, "a");
}

// --- durability

TEST_P(LedgerContract, CommittedChangesSurviveACrash) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 5);
  Grant(study, "worker");
  Change({To(study, 0, kStored), To(study, 1, kFailed), To(study, 2, kDelayed, 2)});
  Reopen();
  EXPECT_EQ(ledger_->FindSession("session")->key, session_);
  EXPECT_EQ(ledger_->LastLeaseId(), 1U);
  EXPECT_EQ(ledger_->LeasedStudies(session_).at(0).lease_worker, "worker");
  EXPECT_THAT(Indices(ledger_->LoadPage(study, 1, 0, 10)), ElementsAre(2, 3, 4));
  ExpectCountsAreThoseOfTheInstances();
  EXPECT_EQ(Feed("1", {{.path = "1/0", .sop_instance_uid = "1.0", .size_bytes = 100}}).pending, 0U);
  EXPECT_GT(FeedStudy("2", 1), study) << "keys are never used twice";
}

TEST_P(LedgerContract, UncommittedChangesAreLost) {
  CreateSession();
  const StudyKey study = FeedStudy("1", 2);
  ledger_->Begin();
  ReadAndChange(*ledger_, {To(study, 0, kStored)}, At(1));
  ledger_->AddStudies(session_, Batch("2", {{.path = "x", .sop_instance_uid = "2.1"}}));
  EXPECT_EQ(Session().counts.stored, 1U) << "reads see the open transaction";
  Reopen();
  EXPECT_EQ(Session().counts.stored, 0U);
  EXPECT_EQ(Session().studies, 1U);
  ExpectCountsAreThoseOfTheInstances();
}

}  // namespace
}  // namespace dicom_sender
