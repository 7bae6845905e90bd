#include "bench/study_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

constexpr const char* kUidRoot = "1.2.840.113619.2.55.3.2831164355.781.1262779200";
constexpr std::uint32_t kSeriesInstances = 100;
constexpr std::uint64_t kFileBytes = 526'336;

std::uint64_t StudiesPerBatch(const StudyMix& mix) { return std::max(kBatchInstancesMax / mix.instances, 1U); }

std::string RandomUid(std::mt19937_64& random) { return fmt::format("2.25.{}{:019}", random() >> 2, random() >> 2); }

void AddInstance(const StudyMix& mix, std::uint64_t study, std::uint32_t index, std::mt19937_64& random,
                 wire::StudyItems& items) {
  const std::uint32_t series = index / kSeriesInstances;
  auto* instance = items.add_instances();
  instance->set_root(1);
  instance->set_path(fmt::format("{:04}/ST{:07}/SE{:03}/IM{:06}.dcm", study / 1000, study, series, index));
  instance->set_sop_class_uid("1.2.840.10008.5.1.4.1.1.2");
  instance->set_sop_instance_uid(mix.random_uids ? RandomUid(random)
                                                 : fmt::format("{}.{}.{}.{}", kUidRoot, study, series, index));
  instance->set_transfer_syntax_uid("1.2.840.10008.1.2.1");
  instance->set_dataset_offset(392);
  instance->set_size_bytes(kFileBytes);
  instance->set_mtime_ns(1'262'779'200'000'000'000);
}

}  // namespace

std::uint64_t StudyMix::Batches() const { return (studies + StudiesPerBatch(*this) - 1) / StudiesPerBatch(*this); }

wire::PublishBatch MakeBatch(const StudyMix& mix, std::uint64_t number) {
  std::mt19937_64 random(number);
  wire::PublishBatch batch;
  batch.add_roots()->set_id(1);
  batch.mutable_roots(0)->set_path("/data/archive");
  const std::uint64_t first = number * StudiesPerBatch(mix);
  for (std::uint64_t study = first; study < std::min(first + StudiesPerBatch(mix), mix.studies); ++study) {
    auto* items = batch.add_studies();
    items->set_study_instance_uid(mix.random_uids ? RandomUid(random) : fmt::format("{}.{}", kUidRoot, study));
    for (std::uint32_t index = 0; index < mix.instances; ++index) AddInstance(mix, study, index, random, *items);
  }
  return batch;
}

}  // namespace dicom_sender
