// What the indexers of the coordinator's benchmark publish: studies that no file stands behind.
#pragma once

#include <cstdint>
#include <string>

#include "client.pb.h"

namespace dicom_sender {

struct StudyMix {
  std::string name;
  std::uint64_t studies = 0;
  std::uint32_t instances = 0;  // of each study; up to kBatchInstancesMax
  bool random_uids = false;     // "2.25." and a UUID, as of archives that were anonymised; else as modalities count

  std::uint64_t InAll() const { return studies * instances; }
  std::uint64_t Batches() const;
};

// The one with this number; the studies of all of them are the mix.
wire::PublishBatch MakeBatch(const StudyMix& mix, std::uint64_t number);

}  // namespace dicom_sender
