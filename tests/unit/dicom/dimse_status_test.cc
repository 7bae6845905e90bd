#include "dicom/dimse_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

struct Row {
  std::uint16_t status;
  StatusVerdict verdict;
  const char* meaning;  // part of the description
};

constexpr StatusVerdict kStored = StatusVerdict::kStored, kWarning = StatusVerdict::kStoredWithWarning,
                        kRetry = StatusVerdict::kRetry, kSlower = StatusVerdict::kRetrySlower,
                        kFailed = StatusVerdict::kFailed, kRefused = StatusVerdict::kRefused;

// PS3.7 annex C; the comment beside each status is its clause.
const Row kGeneral[] = {
    {0x0000, kStored, "success"},                                           // C.1.1
    {0x0001, kWarning, "requested optional attributes are not supported"},  // C.3.2
    {0x0105, kFailed, "no such attribute"},                                 // C.5.14
    {0x0106, kFailed, "invalid attribute value"},                           // C.5.11
    {0x0107, kWarning, "attribute list error"},                             // C.4.2
    {0x0110, kRetry, "processing failure"},                                 // C.5.21
    {0x0111, kFailed, "duplicate SOP instance"},                            // C.5.6
    {0x0112, kFailed, "no such SOP instance"},                              // C.5.19
    {0x0115, kFailed, "invalid argument value"},                            // C.5.10
    {0x0116, kWarning, "attribute value out of range"},                     // C.4.3
    {0x0117, kFailed, "invalid SOP instance"},                              // C.5.12
    {0x0118, kFailed, "no such SOP class"},                                 // C.5.17
    {0x0119, kFailed, "class-instance conflict"},                           // C.5.7
    {0x0122, kFailed, "SOP class not supported"},                           // C.5.24
    {0x0124, kRefused, "not authorized"},                                   // C.5.23
    {0x0210, kFailed, "duplicate invocation"},                              // C.5.8
    {0x0211, kFailed, "unrecognized operation"},                            // C.5.25
    {0x0212, kFailed, "mistyped argument"},                                 // C.5.15
    {0x0213, kRetry, "resource limitation"},                                // C.5.22
    {0xFE00, kFailed, "cancel"},                                            // C.1.3: no C-STORE can be cancelled
    {0xFF00, kFailed, "pending"},                                           // C.1.2: no answer to a C-STORE
};

// PS3.4 table B.2-1, with the limits of each range.
const Row kStorage[] = {
    {0xA700, kSlower, "out of resources"},
    {0xA701, kSlower, "out of resources"},
    {0xA7FF, kSlower, "out of resources"},
    {0xA900, kFailed, "data set does not match SOP class"},
    {0xA9FF, kFailed, "data set does not match SOP class"},
    {0xC000, kFailed, "cannot understand"},
    {0xC123, kFailed, "cannot understand"},
    {0xCFFF, kFailed, "cannot understand"},
    {0xB000, kWarning, "coercion of data elements"},
    {0xB006, kWarning, "elements discarded"},
    {0xB007, kWarning, "data set does not match SOP class"},
};

// Statuses outside the tables, including the ones next to each range. Bxxx is a class of warnings (PS3.7 C.3).
const Row kBeside[] = {
    {0x0002, kFailed, "unknown"}, {0x0108, kFailed, "unknown"},  {0x0123, kFailed, "unknown"},
    {0x0125, kFailed, "unknown"}, {0x0214, kFailed, "unknown"},  {0xA6FF, kFailed, "unknown"},
    {0xA800, kFailed, "unknown"}, {0xA8FF, kFailed, "unknown"},  {0xAA00, kFailed, "unknown"},
    {0xAFFF, kFailed, "unknown"}, {0xB001, kWarning, "warning"}, {0xBFFF, kWarning, "warning"},
    {0xD000, kFailed, "unknown"}, {0xFFFF, kFailed, "unknown"},  {0xFEFF, kFailed, "unknown"},
};

void ExpectRow(const Row& row) {
  SCOPED_TRACE(testing::Message() << std::hex << row.status);
  EXPECT_EQ(JudgeStoreStatus(row.status), row.verdict);
  EXPECT_THAT(DescribeStatus(row.status), testing::HasSubstr(row.meaning));
}

TEST(DimseStatusTest, GeneralStatuses) {
  for (const Row& row : kGeneral) ExpectRow(row);
}

TEST(DimseStatusTest, StorageStatuses) {
  for (const Row& row : kStorage) ExpectRow(row);
}

TEST(DimseStatusTest, UnknownStatusesAreFailures) {
  for (const Row& row : kBeside) ExpectRow(row);
}

// Only success and warnings may ever be reported as stored.
TEST(DimseStatusTest, OnlySuccessAndWarningsAreStored) {
  for (unsigned value = 0; value <= 0xFFFF; ++value) {
    const auto status = static_cast<std::uint16_t>(value);
    const bool is_warning = value >> 12 == 0xB || value == 0x0001 || value == 0x0107 || value == 0x0116;
    ASSERT_EQ(JudgeStoreStatus(status) == kStored, value == 0) << value;
    ASSERT_EQ(JudgeStoreStatus(status) == kWarning, is_warning) << value;
  }
}

TEST(DimseStatusTest, FailuresAreCountedByCategory) {
  for (const auto& [status, category] :
       std::initializer_list<std::pair<std::uint16_t, const char*>>{{0xA6FF, "other_status"},
                                                                    {0xA700, "out_of_resources"},
                                                                    {0xA7FF, "out_of_resources"},
                                                                    {0xA800, "other_status"},
                                                                    {0x0213, "out_of_resources"},
                                                                    {0xA900, "dataset_mismatch"},
                                                                    {0xA9FF, "dataset_mismatch"},
                                                                    {0xAA00, "other_status"},
                                                                    {0xBFFF, "other_status"},
                                                                    {0xC000, "cannot_understand"},
                                                                    {0xCFFF, "cannot_understand"},
                                                                    {0xD000, "other_status"},
                                                                    {0x0110, "processing_failure"},
                                                                    {0x0118, "sop_class_not_supported"},
                                                                    {0x0122, "sop_class_not_supported"},
                                                                    {0x0117, "other_status"}}) {
    EXPECT_STREQ(StatusCategory(status), category) << std::hex << status;
  }
}

TEST(DimseStatusTest, TheCodeHasFourDigits) {
  EXPECT_EQ(DescribeStatus(0x0000), "0000 (success)");
  EXPECT_EQ(DescribeStatus(0xA700), "A700 (out of resources)");
}

}  // namespace
}  // namespace dicom_sender
