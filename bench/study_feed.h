// The studies that the coordinator benchmark's indexers publish. No files exist for them.
#pragma once

#include <cstdint>
#include <string>

#include "client.pb.h"

namespace dicom_sender {

struct StudyMix {
  std::string name;
  std::uint64_t studies = 0;
  std::uint32_t instances = 0;  // per study; at most kBatchInstancesMax
  bool random_uids = false;     // "2.25." and a UUID, as in anonymized archives; otherwise consecutive numbers, as
                                // modalities assign them

  std::uint64_t InAll() const { return studies * instances; }
  std::uint64_t Batches() const;
};

// Returns the study with this number; numbers from 0 on produce the mix.
wire::PublishBatch MakeBatch(const StudyMix& mix, std::uint64_t number);

}  // namespace dicom_sender
