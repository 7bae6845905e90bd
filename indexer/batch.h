// Collects instances into PublishBatch messages within the protocol's limits. Pure; not thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "client.pb.h"

namespace dicom_sender {

class BatchBuilder {
 public:
  // `roots`: their ids are their indices. `indexer`: the indexer's name, as in BeginScan.
  BatchBuilder(std::string session, std::string indexer, std::vector<std::string> roots);

  // Must not be called while full(). An empty `study_instance_uid` means the group of instances without a study,
  // which has no accession number. The accession number of a study is the first that is not empty.
  void Add(const std::string& study_instance_uid, const std::string& accession_number, wire::Instance instance);
  // Must not be called while full().
  void AddUnread(std::string path, bool is_folder, std::string reason);
  bool full() const;
  bool empty() const { return instances_ == 0 && batch_.unread_size() == 0; }
  wire::PublishBatch Take();  // empty afterwards

 private:
  void Clear();

  const std::string session_, indexer_;
  const std::vector<std::string> roots_;
  wire::PublishBatch batch_;
  std::map<std::string, int> studies_;  // index in batch_
  int instances_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace dicom_sender
