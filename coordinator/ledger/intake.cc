#include "coordinator/ledger/intake.h"

#include <algorithm>
#include <unordered_set>

#include "common/text.h"
#include "coordinator/ledger/counts.h"

namespace dicom_sender {
namespace {

// Returns the index of `key` in `list`. Adds it if it is new.
template <class Key, class List>
std::size_t PlaceOf(const Key& key, std::map<Key, std::size_t>& places, List& list) {
  const auto [place, is_new] = places.try_emplace(key, list.size());
  if (is_new) list.emplace_back(key);
  return place->second;
}

std::vector<std::int64_t> DistinctAscending(std::vector<std::int64_t> hashes) {
  std::ranges::sort(hashes);
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  return hashes;
}

// A file that could not be sent does not cause its copies to be skipped, because a copy may succeed.
bool MayHaveCopies(InstanceState state) {
  return state != InstanceState::kSkipped && state != InstanceState::kConflict && state != InstanceState::kFailed;
}

}  // namespace

Intake::Intake(const wire::PublishBatch& batch) {
  for (const auto& root : batch.roots()) {
    root_of_id_[root.id()] = PlaceOf(std::string_view(root.path()), root_of_path_, roots_);
  }
  std::map<std::string_view, std::size_t> study_of_uid;
  for (const auto& items : batch.studies()) {
    const auto [place, is_new] = study_of_uid.try_emplace(items.study_instance_uid(), studies_.size());
    if (is_new) studies_.push_back({.uid = items.study_instance_uid(), .accession_number = {}});
    Study& study = studies_[place->second];
    if (study.accession_number.empty()) study.accession_number = items.accession_number();
    AddItems(items, place->second);
  }
  known_.reserve(items_.size());
}

void Intake::AddItems(const wire::StudyItems& items, std::size_t study) {
  for (const auto& instance : items.instances()) {
    Item item{.instance = &instance, .study = study, .root = RootOf(instance), .pair = PairOf(instance)};
    item.hash = instance.sop_instance_uid().empty() ? PathHashOf(item) : UidHash(instance.sop_instance_uid());
    items_.push_back(item);
  }
}

// If the batch does not contain the root, the path of the root is empty.
std::size_t Intake::RootOf(const wire::Instance& instance) {
  const auto root = root_of_id_.find(instance.root());
  return root != root_of_id_.end() ? root->second : PlaceOf(std::string_view(), root_of_path_, roots_);
}

std::size_t Intake::PairOf(const wire::Instance& instance) {
  const std::pair<std::string_view, std::string_view> pair(instance.sop_class_uid(), instance.transfer_syntax_uid());
  // Nearly all instances of a study have the same pair.
  if (!items_.empty() && pairs_[items_.back().pair] == pair) return items_.back().pair;
  return PlaceOf(pair, pair_of_uids_, pairs_);
}

std::vector<std::int64_t> Intake::HashesToLookUp() const {
  std::vector<std::int64_t> hashes;
  hashes.reserve(items_.size());
  for (const Item& item : items_) hashes.push_back(item.hash);
  return DistinctAscending(std::move(hashes));
}

// If a UID is in the ledger, or in the batch twice, the lookup keys of its copies are the hashes of their paths.
std::vector<std::int64_t> Intake::PathHashesToLookUp() const {
  std::vector<std::int64_t> hashes;
  std::unordered_set<std::string_view> seen;
  for (const Item& item : items_) {
    const std::string& uid = item.instance->sop_instance_uid();
    if (uid.empty()) continue;
    Found found;
    Look(item.hash, item, found);
    const bool is_first = seen.insert(uid).second;
    if (found.same_file || (is_first && !found.same_uid)) continue;
    if (const std::int64_t hash = PathHashOf(item); !known_.contains(hash)) hashes.push_back(hash);
  }
  return DistinctAscending(std::move(hashes));
}

void Intake::AddKnown(std::int64_t hash, KnownFile file) {
  const KnownFile& kept = looked_up_.emplace_back(std::move(file));
  Remember(hash, {.study = kept.study,
                  .index = kept.index,
                  .root = kept.root,
                  .path = kept.path,
                  .uid = kept.sop_instance_uid,
                  .state = kept.state});
}

void Intake::Remember(std::int64_t hash, const File& file) {
  std::vector<File>& files = known_[hash];
  const auto place = [](const File& known) { return std::pair(known.study, known.index); };
  files.insert(std::ranges::upper_bound(files, place(file), {}, place), file);
}

void Intake::Look(std::int64_t hash, const Item& item, Found& found) const {
  const auto files = known_.find(hash);
  if (files == known_.end()) return;
  for (const File& file : files->second) {
    if (file.uid != item.instance->sop_instance_uid()) continue;
    if (file.root == roots_[item.root] && file.path == item.instance->path()) found.same_file = true;
    if (file.uid.empty()) continue;
    found.same_uid = true;
    if (found.original == nullptr && MayHaveCopies(file.state)) found.original = &file;
  }
}

Intake::Decision Intake::Judge(std::span<const StudyInLedger> studies) {
  Decision decision;
  decision.files.reserve(items_.size());
  std::vector<std::uint32_t> next_indices;
  for (std::size_t place = 0; place < studies.size(); ++place) {
    const StudyInLedger& study = studies[place];
    decision.feeds.push_back({.study = study.key});
    next_indices.push_back(study.instances);
    if (study.is_new) ++decision.new_studies;
    const std::string_view number = studies_[place].accession_number;
    if (!number.empty() && !study.has_accession_number) decision.accession_numbers.emplace_back(study.key, number);
  }
  for (const Item& item : items_) {
    Found found;
    Look(item.hash, item, found);
    if (found.same_uid && !found.same_file) Look(PathHashOf(item), item, found);
    if (found.same_file) continue;
    Take(item, found, next_indices[item.study]++, decision.feeds[item.study], decision);
  }
  for (const auto& [study, growth] : decision.growth) Add(decision.growth_in_all, growth);
  return decision;
}

// A new file fails because of its defect, is skipped as a copy, or becomes pending.
void Intake::Take(const Item& item, const Found& found, std::uint32_t index, StudyFeed& feed, Decision& decision) {
  const wire::Instance& instance = *item.instance;
  NewFile& file = decision.files.emplace_back();
  file.instance = &instance;
  file.study = feed.study;
  file.index = index;
  file.root = item.root;
  file.pair = item.pair;
  if (!instance.defect().empty()) {
    file.state = InstanceState::kFailed;
    file.reason = instance.defect();
  } else if (found.original != nullptr) {
    const File& original = *found.original;
    file.state = InstanceState::kSkipped;
    file.original = Original{.study = original.study,
                             .index = original.index,
                             .path = JoinPath(std::string(original.root), std::string(original.path))};
    file.reason = NotComparedReason(file.original->path);
  }
  const bool is_pending = file.state == InstanceState::kPending;
  file.hash = found.same_uid && !is_pending ? PathHashOf(item) : item.hash;
  Counts& growth = decision.growth[file.study];
  ++growth.total;
  growth.total_bytes += instance.size_bytes();
  Contribute(growth, file.state, instance.size_bytes(), 0, false);
  if (is_pending) {
    ++feed.pending;
    feed.pending_bytes += instance.size_bytes();
    decision.study_pairs.emplace(file.study, file.pair);
  }
  // Later files of the batch may be copies of this one.
  Remember(file.hash, {.study = file.study,
                       .index = index,
                       .root = roots_[item.root],
                       .path = instance.path(),
                       .uid = instance.sop_instance_uid(),
                       .state = file.state});
}

}  // namespace dicom_sender
