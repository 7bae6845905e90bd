// The part of the ledger's contract that covers copies, unread paths, and active time (copies_contract_test.cc).
#pragma once

#include <string>
#include <vector>

#include "tests/unit/coordinator/ledger/ledger_contract.h"

namespace dicom_sender {

class CopiesContract : public LedgerContract {
 protected:
  // Publishes "/data/a" and its copies b, c, ... in one study.
  StudyKey FeedCopies(std::uint32_t copies) {
    CreateSession();
    std::vector<File> files;
    for (std::uint32_t i = 0; i <= copies; ++i) {
      files.push_back(
          {.path = std::string(1, static_cast<char>('a' + i)), .sop_instance_uid = "1.1", .size_bytes = 100 + i});
    }
    return Feed("1", files).study;
  }
  std::vector<UncomparedCopy> Uncompared(const std::string& indexer = "") {
    return ledger_->CopiesToCompare(session_, indexer, {}, 100);
  }
  void Compare(StudyKey study, std::uint32_t index, const std::string& difference) {
    InTransaction([&] {
      const Comparison comparison{.study = study, .index = index, .difference = difference};
      ledger_->RecordComparisons(session_, std::span(&comparison, 1));
    });
  }
  std::vector<PromotedCopy> Fail(StudyKey study, std::uint32_t index) {
    std::vector<PromotedCopy> promoted;
    InTransaction([&] {
      InstanceChange change = To(study, index, InstanceState::kFailed);
      change.reason = "refused";
      ReadAndChange(*ledger_, {change}, At(5000));
      promoted = ledger_->PromoteCopies(study);
    });
    ExpectCountsAreThoseOfTheInstances();
    return promoted;
  }
  std::vector<std::string> PathsOf(InstanceState state) {
    std::vector<std::string> paths;
    for (const auto& instance : Reported({state})) paths.push_back(instance.path);
    return paths;
  }
};

}  // namespace dicom_sender
