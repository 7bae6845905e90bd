#include "indexer/batch.h"

#include <set>
#include <utility>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kBatchBytesMax = kMessageBytesMax / 2;
// The overhead of an instance: its framing in the message, and the entry of its study if it is the first.
constexpr std::size_t kOverheadBytes = 168;

}  // namespace

BatchBuilder::BatchBuilder(std::string session, std::string indexer, std::vector<std::string> roots)
    : session_(std::move(session)), indexer_(std::move(indexer)), roots_(std::move(roots)) {
  Clear();
}

void BatchBuilder::Clear() {
  batch_.Clear();
  batch_.set_session(session_);
  batch_.set_indexer(indexer_);
  studies_.clear();
  instances_ = 0;
  bytes_ = 0;
}

void BatchBuilder::Add(const std::string& study_instance_uid, const std::string& accession_number,
                       wire::Instance instance) {
  const auto [study, is_new] = studies_.try_emplace(study_instance_uid, batch_.studies_size());
  if (is_new) batch_.add_studies()->set_study_instance_uid(study_instance_uid);
  wire::StudyItems& items = *batch_.mutable_studies(study->second);
  if (items.accession_number().empty() && !study_instance_uid.empty()) items.set_accession_number(accession_number);
  bytes_ += instance.ByteSizeLong() + kOverheadBytes;
  ++instances_;
  *items.add_instances() = std::move(instance);
}

void BatchBuilder::AddUnread(std::string path, bool is_folder, std::string reason) {
  auto* unread = batch_.add_unread();
  unread->set_path(std::move(path));
  unread->set_folder(is_folder);
  unread->set_reason(std::move(reason));
  bytes_ += unread->ByteSizeLong() + kOverheadBytes;
}

bool BatchBuilder::full() const {
  return instances_ >= kBatchInstancesMax || batch_.unread_size() >= kUnreadPathsMax || bytes_ >= kBatchBytesMax;
}

wire::PublishBatch BatchBuilder::Take() {
  std::set<std::uint32_t> used;
  for (const auto& study : batch_.studies()) {
    for (const auto& instance : study.instances()) used.insert(instance.root());
  }
  for (const std::uint32_t id : used) {
    auto* root = batch_.add_roots();
    root->set_id(id);
    root->set_path(roots_[id]);
  }
  wire::PublishBatch taken = std::move(batch_);
  Clear();
  return taken;
}

}  // namespace dicom_sender
