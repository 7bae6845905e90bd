// What every implementation of the Ledger must guarantee for files with the same SOP Instance UID, for paths that
// could not be read, and for the active time of a session.
#include "tests/unit/coordinator/ledger/copies_contract.h"

#include <gmock/gmock.h>

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using enum InstanceState;

wire::PublishBatch BatchBy(const std::string& indexer, const std::string& study, const std::vector<File>& files) {
  wire::PublishBatch batch = Batch(study, files);
  batch.set_indexer(indexer);
  return batch;
}

TEST_P(CopiesContract, EqualCopiesAreDuplicatesAndOthersConflicts) {
  const StudyKey study = FeedCopies(2);
  const auto copies = Uncompared();
  ASSERT_THAT(copies, SizeIs(2));
  EXPECT_EQ(copies[0].path, "/data/b");
  EXPECT_EQ(copies[0].original_path, "/data/a");
  EXPECT_THAT(Reported({kSkipped}).at(0).reason, HasSubstr("not compared"));
  Compare(study, 1, "");
  Compare(study, 2, "(7FE0,0010) differs");
  EXPECT_THAT(Uncompared(), IsEmpty());
  EXPECT_EQ(Reported({kSkipped}).at(0).reason, "duplicate of /data/a");
  ASSERT_THAT(PathsOf(kConflict), ElementsAre("/data/c"));
  const auto conflict = Reported({kConflict}).at(0);
  EXPECT_EQ(conflict.state, kConflict);
  EXPECT_EQ(conflict.reason, "conflict with /data/a, which has the same SOP Instance UID: (7FE0,0010) differs");
  EXPECT_EQ(Session().counts.skipped, 2U);
  EXPECT_EQ(Session().counts.conflicts, 1U);
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(CopiesContract, AComparisonCountsOnce) {
  const StudyKey study = FeedCopies(1);
  Compare(study, 1, "size");
  Compare(study, 1, "");
  Compare(study, 0, "no copy at all");
  Compare(study, 99, "no such instance");
  EXPECT_THAT(PathsOf(kConflict), ElementsAre("/data/b"));
  EXPECT_EQ(Session().counts.conflicts, 1U);
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(CopiesContract, TheListContinuesAfterItsCursor) {
  const StudyKey study = FeedCopies(3);
  const auto rest = ledger_->CopiesToCompare(session_, "", {study, 1U}, 1);
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].index, 2U);
}

TEST_P(CopiesContract, EachIndexerComparesWhatItHasPublished) {
  CreateSession();
  InTransaction([&] {
    ledger_->AddStudies(session_, BatchBy("one", "1", {{.path = "a", .sop_instance_uid = "1.1"}}));
    ledger_->AddStudies(session_, BatchBy("two", "1", {{.path = "b", .sop_instance_uid = "1.1"}}));
  });
  EXPECT_THAT(Uncompared("one"), IsEmpty());
  EXPECT_THAT(Uncompared("two"), SizeIs(1));
}

TEST_P(CopiesContract, CopiesThatWereNotComparedStayListed) {
  const StudyKey study = FeedCopies(1);
  Reopen();
  EXPECT_THAT(Uncompared(), SizeIs(1));
  EXPECT_EQ(Feed("1", {{.path = "b", .sop_instance_uid = "1.1", .size_bytes = 101}}).pending, 0U);
  EXPECT_THAT(Uncompared(), SizeIs(1));
  Compare(study, 1, "");
  Reopen();
  EXPECT_THAT(Uncompared(), IsEmpty());
}

TEST_P(CopiesContract, ACopyReplacesAFailedOriginal) {
  const StudyKey study = FeedCopies(1);
  Compare(study, 1, "");
  const auto promoted = Fail(study, 0);
  ASSERT_THAT(promoted, SizeIs(1));
  EXPECT_EQ(promoted[0].session, session_);
  EXPECT_EQ(promoted[0].feed.study, study);
  EXPECT_EQ(promoted[0].feed.pending, 1U);
  EXPECT_EQ(promoted[0].feed.pending_bytes, 101U);
  EXPECT_EQ(promoted[0].path, "/data/b");
  EXPECT_EQ(promoted[0].failed_path, "/data/a");
  EXPECT_THAT(PathsOf(kPending), ElementsAre("/data/b"));
  EXPECT_THAT(Reported({kSkipped}).at(0).reason,
              testing::AllOf(HasSubstr("/data/b"), HasSubstr("sent instead"), HasSubstr("refused")));
  EXPECT_EQ(Session().counts.conflicts, 0U);
  const wire::Page page = ledger_->LoadPage(study, 1, 0, 10);
  ASSERT_EQ(page.instances_size(), 1);
  EXPECT_EQ(page.instances(0).index(), 1U);
}

TEST_P(CopiesContract, AConflictThatIsSentInsteadStaysAConflict) {
  const StudyKey study = FeedCopies(1);
  Compare(study, 1, "(7FE0,0010) differs");
  Fail(study, 0);
  EXPECT_THAT(PathsOf(kPending), ElementsAre("/data/b"));
  EXPECT_THAT(PathsOf(kConflict), ElementsAre("/data/a"));
}

TEST_P(CopiesContract, CopiesAreNotAssumedToBeEqual) {
  const StudyKey study = FeedCopies(1);
  Fail(study, 0);
  EXPECT_THAT(PathsOf(kConflict), ElementsAre("/data/a"));
  Compare(study, 1, "");  // too late
  EXPECT_THAT(PathsOf(kPending), ElementsAre("/data/b"));
}

TEST_P(CopiesContract, CopiesAreTriedOneAfterTheOther) {
  const StudyKey study = FeedCopies(3);
  Compare(study, 1, "");
  Compare(study, 2, "(0010,0010) differs");
  Compare(study, 3, "");
  Fail(study, 0);
  EXPECT_THAT(PathsOf(kSkipped), ElementsAre("/data/a", "/data/d"));
  const auto promoted = Fail(study, 1);
  ASSERT_THAT(promoted, SizeIs(1));
  EXPECT_EQ(promoted[0].path, "/data/c");
  EXPECT_THAT(PathsOf(kConflict), ElementsAre("/data/b")) << "c differs from it";
  ASSERT_THAT(Fail(study, 2), SizeIs(1));
  EXPECT_THAT(PathsOf(kPending), ElementsAre("/data/d"));
  EXPECT_THAT(Fail(study, 3), IsEmpty()) << "none is left";
  EXPECT_THAT(PathsOf(kFailed), ElementsAre("/data/d"));
  EXPECT_EQ(Session().counts.failed, 1U);
}

TEST_P(CopiesContract, OnlyTheLastCopyIsRequeued) {
  const StudyKey study = FeedCopies(1);
  Fail(study, 0);
  Fail(study, 1);
  InTransaction([&] { ledger_->Requeue(session_, {}); });
  EXPECT_THAT(PathsOf(kPending), ElementsAre("/data/b"));
}

TEST_P(CopiesContract, ACopyInAnotherStudyIsSentThere) {
  CreateSession();
  const StudyKey first = Feed("1", {{.path = "a", .sop_instance_uid = "1.1"}}).study;
  const StudyKey second =
      Feed("2", {{.path = "b", .sop_instance_uid = "1.1", .sop_class_uid = "1.2.840.10008.5.1.4.1.1.4"}}).study;
  Compare(second, 0, "Study Instance UID '2' instead of '1'");
  const auto promoted = Fail(first, 0);
  ASSERT_THAT(promoted, SizeIs(1));
  EXPECT_EQ(promoted[0].feed.study, second);
  const auto pairs = ledger_->ContextPairs(second, 10);
  ASSERT_THAT(pairs, SizeIs(1));
  EXPECT_EQ(pairs[0].sop_class_uid(), "1.2.840.10008.5.1.4.1.1.4");
}

TEST_P(CopiesContract, AStudyThatFailsAsAWholePromotesCopies) {
  CreateSession();
  const StudyKey first =
      Feed("1", {{.path = "a", .sop_instance_uid = "1.1"}, {.path = "x", .sop_instance_uid = "1.2"}}).study;
  Feed("2", {{.path = "b", .sop_instance_uid = "1.1"}, {.path = "y", .sop_instance_uid = "1.2"}});
  std::vector<PromotedCopy> promoted;
  InTransaction([&] {
    ledger_->FailStudy(first, "turned away", At(5000));
    promoted = ledger_->PromoteCopies(first);
  });
  EXPECT_THAT(promoted, SizeIs(2));
  EXPECT_THAT(PathsOf(kPending), ElementsAre("/data/b", "/data/y"));
  ExpectCountsAreThoseOfTheInstances();
}

TEST_P(CopiesContract, SendingACopyOfAPossiblyStoredInstanceIsAResend) {
  const StudyKey study = FeedCopies(1);
  InstanceChange change = To(study, 0, kFailed);
  change.may_be_stored = true;
  InTransaction([&] {
    ReadAndChange(*ledger_, {change}, At(5000));
    ledger_->PromoteCopies(study);
  });
  EXPECT_TRUE(Facts(study, {1}).at(0).may_be_stored);
}

TEST_P(CopiesContract, LaterFilesAreCopiesOfTheFileThatIsSent) {
  const StudyKey study = FeedCopies(1);
  Fail(study, 0);
  EXPECT_EQ(Feed("1", {{.path = "late", .sop_instance_uid = "1.1"}}).pending, 0U);
  EXPECT_THAT(Fail(study, 1), SizeIs(1));
  EXPECT_THAT(PathsOf(kPending), ElementsAre("/data/late"));
}

TEST_P(CopiesContract, AFileWithADefectIsNeitherACopyNorAnOriginal) {
  CreateSession();
  const StudyKey study = Feed("1", {{.path = "broken", .sop_instance_uid = "1.1", .defect = "truncated"},
                                    {.path = "whole", .sop_instance_uid = "1.1"},
                                    {.path = "broken, too", .sop_instance_uid = "1.1", .defect = "truncated"}})
                             .study;
  EXPECT_THAT(Uncompared(), IsEmpty());
  EXPECT_THAT(Fail(study, 1), IsEmpty());
  EXPECT_EQ(Session().counts.failed, 3U);
}

TEST_P(CopiesContract, UnreadPathsAreListedUntilTheNextScan) {
  CreateSession();
  const std::vector<UnreadPath> paths = {{"/data/b", true, "Permission denied"},
                                         {"/data/a\xFF", false, "Input/output error"}};
  const auto note = [&](const std::string& indexer, std::span<const UnreadPath> unread) {
    InTransaction([&] { ledger_->AddUnread(session_, indexer, unread); });
  };
  BeginScan("one", 1);
  BeginScan("two", 1);
  note("one", paths);
  note("one", paths);
  note("two", std::span(paths).first(1));
  EXPECT_THAT(ledger_->Unread(session_, "", 10), ElementsAre(paths[1], paths[0])) << "each path once";
  EXPECT_THAT(ledger_->Unread(session_, "", 1), ElementsAre(paths[1]));
  EXPECT_THAT(ledger_->Unread(session_, paths[1].path, 10), ElementsAre(paths[0]));
  BeginScan("one", 2);
  EXPECT_THAT(ledger_->Unread(session_, "", 10), ElementsAre(paths[0])) << "the other indexer's";
}

TEST_P(CopiesContract, PausesDoNotCountAsActiveTime) {
  CreateSession();  // at 1000 ms
  const auto change = [&](wire::SessionState state, std::int64_t at) {
    InTransaction([&] { ledger_->SetSessionState(session_, state, "", At(at)); });
  };
  change(wire::SESSION_SENDING, 2000);
  EXPECT_EQ(Session().run_start, At(1000));
  change(wire::SESSION_SUSPENDED, 4000);
  EXPECT_EQ(Session().worked, std::chrono::seconds(3));
  EXPECT_EQ(Session().run_start, std::nullopt);
  change(wire::SESSION_SENDING, 100'000);
  EXPECT_EQ(Session().run_start, At(100'000));
  change(wire::SESSION_COMPLETE, 101'000);
  EXPECT_EQ(Session().worked, std::chrono::seconds(4));
  change(wire::SESSION_CANCELLED, 200'000);
  EXPECT_EQ(Session().worked, std::chrono::seconds(4));
}

TEST_P(CopiesContract, ACrashedRunCountsUpToItsLastOutcome) {
  CreateSession();  // at 1000 ms
  const StudyKey study = FeedStudy("1", 1);
  Change({To(study, 0, kStored)});  // at 5000 ms
  Reopen();
  InTransaction([&] { ledger_->BeginRun(session_, At(90'000)); });
  EXPECT_EQ(Session().worked, std::chrono::seconds(4));
  EXPECT_EQ(Session().run_start, At(90'000));
  InTransaction([&] { ledger_->BeginRun(session_, At(95'000)); });
  EXPECT_EQ(Session().worked, std::chrono::seconds(4)) << "nothing came in that run";
}

}  // namespace
}  // namespace dicom_sender
