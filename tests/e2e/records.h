// Reads a summary and the test destination's log for tests.
#pragma once

#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <cstdint>
#include <map>
#include <string>

#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {

// Fails the test and returns 0 if the member is missing.
inline std::uint64_t Number(const rapidjson::Value& object, const char* name) {
  if (object.HasMember(name) && object[name].IsUint64()) return object[name].GetUint64();
  ADD_FAILURE() << "no number " << name;
  return 0;
}

// Every summary must satisfy this.
inline void ExpectCountsAddUp(const rapidjson::Value& summary, std::uint64_t pending = 0) {
  EXPECT_EQ(Number(summary, "total_files"), Number(summary, "successful_transfers") +
                                                Number(summary, "failed_transfers") + Number(summary, "skipped") +
                                                pending);
}

// Counts success responses.
inline std::uint64_t Stored(const DestinationLog& log) {
  std::uint64_t stored = 0;
  for (const auto& instance : log.instances) stored += instance.status == 0x0000;
  return stored;
}

// Returns how many times each SOP instance was answered with success.
inline std::map<std::string, std::uint64_t> StoredTimes(const DestinationLog& log) {
  std::map<std::string, std::uint64_t> times;
  for (const auto& instance : log.instances) {
    if (instance.status == 0x0000) ++times[instance.sop_instance];
  }
  return times;
}

}  // namespace dicom_sender
