// Decides which files of a batch are new, which ones are in the ledger already, and which ones are copies of another
// file. That file may be in the batch or in the ledger, and in any study of the session.
//
// This class does not read or write a ledger. A store uses it as follows:
//   1. It looks up or adds roots(), pairs(), and studies().
//   2. It looks up HashesToLookUp() and passes each file that it finds to AddKnown().
//   3. It does the same with PathHashesToLookUp(), which depends on the results of step 2.
//   4. It writes what Judge() returns.
//
// The lookup key of a file is the hash of its SOP Instance UID, or the hash of its path if it has no UID. If
// thousands of files share a UID, comparing each new file with all of them would take too long. Therefore the lookup
// key of a copy that is not sent is the hash of its path, and only the few files under the UID's hash have to be
// compared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/ledger/copies.h"
#include "coordinator/ledger/hashes.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// A file of the session that is in the ledger already.
struct KnownFile {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string root;  // its path
  std::string path;  // relative to the root
  std::string sop_instance_uid;
  InstanceState state = InstanceState::kPending;
};

class Intake {
 public:
  struct Study {
    std::string_view uid;
    std::string_view accession_number;  // the first one in the batch; may be empty
  };
  struct StudyInLedger {
    StudyKey key = 0;
    std::uint32_t instances = 0;
    bool is_new = false;  // the store added it for this batch
    bool has_accession_number = false;
  };
  struct NewFile {
    const wire::Instance* instance = nullptr;
    StudyKey study = 0;
    std::uint32_t index = 0;
    std::size_t root = 0;  // index in roots()
    std::size_t pair = 0;  // index in pairs()
    InstanceState state = InstanceState::kPending;
    std::string reason;
    std::int64_t hash = 0;             // the lookup key to store
    std::optional<Original> original;  // set if the file is a copy
  };
  struct Decision {
    std::vector<NewFile> files;    // in the order of the batch
    std::vector<StudyFeed> feeds;  // one for each of studies(), in their order
    std::map<StudyKey, Counts> growth;
    Counts growth_in_all;
    std::uint64_t new_studies = 0;
    std::set<std::pair<StudyKey, std::size_t>> study_pairs;                // pairs to send, by index in pairs()
    std::vector<std::pair<StudyKey, std::string_view>> accession_numbers;  // that are not in the ledger yet
  };

  explicit Intake(const wire::PublishBatch& batch);  // `batch` must outlive the Intake and the Decision

  // Without duplicates, in the order of the batch.
  const std::vector<std::string_view>& roots() const { return roots_; }
  const std::vector<std::pair<std::string_view, std::string_view>>& pairs() const { return pairs_; }  // class, syntax
  const std::vector<Study>& studies() const { return studies_; }

  std::vector<std::int64_t> HashesToLookUp() const;      // distinct, ascending
  std::vector<std::int64_t> PathHashesToLookUp() const;  // distinct, ascending
  void AddKnown(std::int64_t hash, KnownFile file);
  // `studies`: the record of each of studies() in the ledger, in the same order. Call it only once.
  Decision Judge(std::span<const StudyInLedger> studies);

 private:
  struct Item {
    const wire::Instance* instance = nullptr;
    std::size_t study = 0, root = 0, pair = 0;  // indices
    std::int64_t hash = 0;
  };
  struct File {
    StudyKey study = 0;
    std::uint32_t index = 0;
    std::string_view root, path, uid;
    InstanceState state = InstanceState::kPending;
  };
  struct Found {
    bool same_file = false;
    bool same_uid = false;
    const File* original = nullptr;  // the first file with this SOP Instance UID that copies may refer to
  };

  void AddItems(const wire::StudyItems& items, std::size_t study);
  std::size_t RootOf(const wire::Instance& instance);  // these two add it if it is new, and return its index
  std::size_t PairOf(const wire::Instance& instance);
  std::int64_t PathHashOf(const Item& item) const { return PathHash(roots_[item.root], item.instance->path()); }
  void Look(std::int64_t hash, const Item& item, Found& found) const;
  void Remember(std::int64_t hash, const File& file);
  void Take(const Item& item, const Found& found, std::uint32_t index, StudyFeed& feed, Decision& decision);

  std::vector<std::string_view> roots_;
  std::vector<std::pair<std::string_view, std::string_view>> pairs_;
  std::vector<Study> studies_;
  std::vector<Item> items_;
  std::map<std::uint32_t, std::size_t> root_of_id_;  // indices in roots_
  std::map<std::string_view, std::size_t> root_of_path_;
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> pair_of_uids_;
  std::deque<KnownFile> looked_up_;                            // owns the strings of known_
  std::unordered_map<std::int64_t, std::vector<File>> known_;  // by hash; ascending by study and index
};

}  // namespace dicom_sender
