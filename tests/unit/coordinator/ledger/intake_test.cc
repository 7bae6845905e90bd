// The classification of a batch without any store. The ledger contract repeats the main cases with each store.
#include "coordinator/ledger/intake.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using enum InstanceState;

constexpr const char* kCt = "1.2.840.10008.5.1.4.1.1.2";
constexpr const char* kMr = "1.2.840.10008.5.1.4.1.1.4";
constexpr std::uint64_t kBytes = 1000;  // of each file

struct NamedFile {
  std::string path;
  std::string uid;
  std::string defect = {};
  std::uint32_t root = 1;
  std::string sop_class = kCt;
};

class Batches {
 public:
  Batches() { AddRoot(1, "/data"); }

  Batches& AddRoot(std::uint32_t id, const std::string& path) {
    auto* root = batch_.add_roots();
    root->set_id(id);
    root->set_path(path);
    return *this;
  }
  Batches& Study(const std::string& uid, const std::vector<NamedFile>& files,
                 const std::string& accession_number = {}) {
    auto* study = batch_.add_studies();
    study->set_study_instance_uid(uid);
    study->set_accession_number(accession_number);
    for (const NamedFile& file : files) {
      auto* instance = study->add_instances();
      instance->set_root(file.root);
      instance->set_path(file.path);
      instance->set_sop_instance_uid(file.uid);
      instance->set_sop_class_uid(file.sop_class);
      instance->set_transfer_syntax_uid("1.2.840.10008.1.2.1");
      instance->set_defect(file.defect);
      instance->set_size_bytes(kBytes);
    }
    return *this;
  }
  const wire::PublishBatch& get() const { return batch_; }

 private:
  wire::PublishBatch batch_;
};

// Keeps in memory what a store would write, and looks up only what the Intake requests.
class IntakeTest : public testing::Test {
 protected:
  Intake::Decision Publish(const Batches& batch) {
    batches_.push_back(batch);
    Intake intake(batches_.back().get());
    looked_up_.clear();
    LookUp(intake, intake.HashesToLookUp());
    LookUp(intake, intake.PathHashesToLookUp());
    std::vector<Intake::StudyInLedger> studies;
    for (const auto& study : intake.studies()) studies.push_back(FindOrAdd(std::string(study.uid)));
    Intake::Decision decision = intake.Judge(studies);
    for (const auto& [study, number] : decision.accession_numbers) OfKey(study).has_accession_number = true;
    for (const auto& file : decision.files) {
      OfKey(file.study).instances = file.index + 1;
      known_[file.hash].push_back({.study = file.study,
                                   .index = file.index,
                                   .root = std::string(intake.roots()[file.root]),
                                   .path = file.instance->path(),
                                   .sop_instance_uid = file.instance->sop_instance_uid(),
                                   .state = file.state});
    }
    return decision;
  }
  // Changes the state as an outcome does.
  void SetState(const std::string& path, InstanceState state) {
    for (auto& [hash, files] : known_) {
      for (KnownFile& file : files) {
        if (file.path == path) file.state = state;
      }
    }
  }
  // Does what Ledger::PromoteCopies does: afterwards, the copy can also be found by its UID.
  void Promote(const std::string& path) {
    SetState(path, kPending);
    std::vector<KnownFile> promoted;
    for (const auto& [hash, files] : known_) {
      for (const KnownFile& file : files) {
        if (file.path == path) promoted.push_back(file);
      }
    }
    for (const KnownFile& file : promoted) known_[UidHash(file.sop_instance_uid)].push_back(file);
  }
  std::size_t looked_up() const { return looked_up_.size(); }

 private:
  Intake::StudyInLedger FindOrAdd(const std::string& uid) {
    const auto [study, is_new] = studies_.try_emplace(uid);
    if (is_new) study->second.key = static_cast<StudyKey>(studies_.size());
    Intake::StudyInLedger found = study->second;
    found.is_new = is_new;
    return found;
  }
  Intake::StudyInLedger& OfKey(StudyKey key) {
    for (auto& [uid, study] : studies_) {
      if (study.key == key) return study;
    }
    throw std::logic_error("no such study");
  }
  void LookUp(Intake& intake, const std::vector<std::int64_t>& hashes) {
    for (const std::int64_t hash : hashes) {
      looked_up_.insert(hash);
      // The order in which a store reads them must not matter.
      auto files = known_[hash];
      std::ranges::reverse(files);
      for (const KnownFile& file : files) intake.AddKnown(hash, file);
    }
  }

  std::deque<Batches> batches_;
  std::map<std::string, Intake::StudyInLedger> studies_;
  std::map<std::int64_t, std::vector<KnownFile>> known_;
  std::set<std::int64_t> looked_up_;
};

std::vector<InstanceState> StatesOf(const Intake::Decision& decision) {
  std::vector<InstanceState> states;
  for (const auto& file : decision.files) states.push_back(file.state);
  return states;
}

TEST_F(IntakeTest, NewFilesAreSentAndNumberedByStudy) {
  const auto decision =
      Publish(Batches().Study("1", {{"a", "1.1"}, {"b", "1.2"}}).Study("2", {{"c", "2.1", "", 1, kMr}}));
  EXPECT_THAT(StatesOf(decision), ElementsAre(kPending, kPending, kPending));
  EXPECT_EQ(decision.files[1].index, 1U);
  EXPECT_EQ(decision.files[2].index, 0U);
  ASSERT_THAT(decision.feeds, SizeIs(2));
  EXPECT_EQ(decision.feeds[0].pending, 2U);
  EXPECT_EQ(decision.feeds[0].pending_bytes, 2 * kBytes);
  EXPECT_EQ(decision.new_studies, 2U);
  EXPECT_EQ(decision.growth.at(1).total, 2U);
  EXPECT_EQ(decision.growth_in_all.total, 3U);
  EXPECT_EQ(decision.growth_in_all.total_bytes, 3 * kBytes);
  EXPECT_THAT(decision.study_pairs, ElementsAre(Pair(1, 0U), Pair(2, 1U)));
}

TEST_F(IntakeTest, ARepeatedBatchAddsNothing) {
  const auto batch = Batches().Study("1", {{"a", "1.1"}, {"b", "1.1"}, {"c", ""}, {"d", "1.4", "truncated"}}, "A1");
  EXPECT_THAT(Publish(batch).files, SizeIs(4));
  const auto decision = Publish(batch);
  EXPECT_THAT(decision.files, IsEmpty());
  ASSERT_THAT(decision.feeds, SizeIs(1));
  EXPECT_EQ(decision.feeds[0].study, 1);
  EXPECT_EQ(decision.feeds[0].pending, 0U);
  EXPECT_THAT(decision.growth, IsEmpty());
  EXPECT_EQ(decision.new_studies, 0U);
  EXPECT_THAT(decision.accession_numbers, IsEmpty());
}

TEST_F(IntakeTest, AFileThatOccursTwiceInABatchIsAddedOnce) {
  const auto decision = Publish(Batches().Study("1", {{"a", "1.1"}, {"b", ""}, {"a", "1.1"}, {"b", ""}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kPending, kPending));
  EXPECT_EQ(decision.files[0].instance->path(), "a");
  EXPECT_EQ(decision.files[1].instance->path(), "b");
}

TEST_F(IntakeTest, ACopyWithinABatchIsSkippedAsACopyOfTheFirstFile) {
  const auto decision = Publish(Batches().Study("1", {{"a", "1.1"}, {"b", "1.1"}, {"c", "1.1"}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kPending, kSkipped, kSkipped));
  for (const std::size_t copy : {1U, 2U}) {
    ASSERT_TRUE(decision.files[copy].original);
    EXPECT_EQ(decision.files[copy].original->index, 0U);
    EXPECT_EQ(decision.files[copy].reason, "same SOP Instance UID as /data/a, not compared");
  }
  EXPECT_EQ(decision.feeds[0].pending, 1U);
  EXPECT_EQ(decision.growth.at(1).skipped, 2U);
  EXPECT_EQ(decision.growth.at(1).settled_bytes, 2 * kBytes);
}

TEST_F(IntakeTest, ACopyInAnotherStudyOfTheLedgerIsFound) {
  Publish(Batches().Study("1", {{"a", "1.1"}}));
  const auto decision = Publish(Batches().Study("2", {{"b", "1.1"}, {"c", "2.2"}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kSkipped, kPending));
  EXPECT_EQ(decision.files[0].study, 2);
  EXPECT_EQ(decision.files[0].original->study, 1);
  EXPECT_EQ(decision.growth_in_all.skipped, 1U);
}

TEST_F(IntakeTest, ACopyInAnotherStudyOfTheBatchIsFound) {
  const auto decision = Publish(Batches().Study("1", {{"a", "1.1"}}).Study("2", {{"b", "1.1"}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kPending, kSkipped));
  EXPECT_EQ(decision.files[1].original->study, 1);
}

// The first file is the one with the lowest study and index, regardless of the order in the batch and in the store's
// answers.
TEST_F(IntakeTest, TheOriginalIsTheFirstSendableFile) {
  Publish(Batches().Study("1", {{"a", "1.1", "truncated"}, {"b", "1.1"}}));
  const auto decision = Publish(Batches().Study("2", {{"c", "1.1"}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kSkipped));
  EXPECT_EQ(decision.files[0].original->path, "/data/b");
}

TEST_F(IntakeTest, ACopyOfAFailedFileIsSent) {
  Publish(Batches().Study("1", {{"a", "1.1"}}));
  SetState("a", kFailed);
  const auto decision = Publish(Batches().Study("1", {{"b", "1.1"}, {"c", "1.1"}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kPending, kSkipped));
  EXPECT_EQ(decision.files[0].index, 1U);
  EXPECT_FALSE(decision.files[0].original);
  EXPECT_EQ(decision.files[1].original->path, "/data/b");
}

TEST_F(IntakeTest, APromotedCopyIsAnOriginal) {
  Publish(Batches().Study("1", {{"a", "1.1"}, {"b", "1.1"}}));
  SetState("a", kConflict);
  Promote("b");
  const auto decision = Publish(Batches().Study("1", {{"b", "1.1"}, {"c", "1.1"}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kSkipped));
  EXPECT_EQ(decision.files[0].instance->path(), "c");
  EXPECT_EQ(decision.files[0].original->path, "/data/b");
}

TEST_F(IntakeTest, ADefectiveFileFailsWithItsDefect) {
  const auto decision = Publish(Batches().Study("1", {{"a", "1.1"}, {"b", "1.1", "truncated"}, {"c", "", "no UID"}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kPending, kFailed, kFailed));
  EXPECT_EQ(decision.files[1].reason, "truncated");
  EXPECT_FALSE(decision.files[1].original);
  EXPECT_EQ(decision.growth.at(1).failed, 2U);
  EXPECT_EQ(decision.feeds[0].pending, 1U);
}

TEST_F(IntakeTest, AFileWhoseUidHasChangedIsAnotherFile) {
  Publish(Batches().Study("1", {{"a", "1.1"}}));
  EXPECT_THAT(StatesOf(Publish(Batches().Study("1", {{"a", "1.2"}}))), ElementsAre(kPending));
}

TEST_F(IntakeTest, TheSamePathBelowAnotherRootIsAnotherFile) {
  const auto decision = Publish(
      Batches().AddRoot(2, "/other").Study("1", {{"a", ""}, {"a", "", "", 2}, {"b", "1.1"}, {"b", "1.1", "", 2}}));
  ASSERT_THAT(StatesOf(decision), ElementsAre(kPending, kPending, kPending, kSkipped));
  EXPECT_EQ(decision.files[1].root, 1U);
}

TEST_F(IntakeTest, RootsWithTheSamePathAreMerged) {
  const auto batch =
      Batches().AddRoot(2, "/data").Study("1", {{"a", "1.1"}, {"a", "1.1", "", 2}, {"b", "1.2", "", 99}});
  EXPECT_THAT(Intake(batch.get()).roots(), ElementsAre("/data", ""));  // a root that is not in the batch has no path
  EXPECT_THAT(Publish(batch).files, SizeIs(2));
}

TEST_F(IntakeTest, AStudyThatOccursTwiceInABatchIsMerged) {
  const auto decision = Publish(
      Batches().Study("1", {{"a", "1.1"}}).Study("2", {}).Study("1", {{"b", "1.2"}}, "A1").Study("1", {}, "A2"));
  ASSERT_THAT(decision.feeds, SizeIs(2));
  EXPECT_EQ(decision.feeds[0].pending, 2U);
  EXPECT_EQ(decision.files[1].index, 1U);
  EXPECT_EQ(decision.new_studies, 2U);
  EXPECT_THAT(decision.accession_numbers, ElementsAre(Pair(1, "A1")));
}

TEST_F(IntakeTest, TheFirstAccessionNumberIsKept) {
  EXPECT_THAT(Publish(Batches().Study("1", {})).accession_numbers, IsEmpty());
  EXPECT_THAT(Publish(Batches().Study("1", {}, "A1")).accession_numbers, ElementsAre(Pair(1, "A1")));
  EXPECT_THAT(Publish(Batches().Study("1", {}, "A2")).accession_numbers, IsEmpty());
}

// Comparing each further file with all earlier ones would take quadratic time.
TEST_F(IntakeTest, ManyFilesWithTheSameUidNeedFewLookups) {
  std::vector<NamedFile> files;
  for (int i = 0; i < 1000; ++i) files.push_back({std::to_string(i), "1.1"});
  EXPECT_THAT(Publish(Batches().Study("1", files)).files, SizeIs(1000));
  EXPECT_THAT(Publish(Batches().Study("1", {{"one more", "1.1"}})).files, SizeIs(1));
  EXPECT_EQ(looked_up(), 2U);  // its UID and its path
  EXPECT_THAT(Publish(Batches().Study("1", {{"0", "1.1"}})).files, IsEmpty());
  EXPECT_EQ(looked_up(), 1U);
}

}  // namespace
}  // namespace dicom_sender
