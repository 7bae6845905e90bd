#include "dicom/uid_names.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

TEST(NameOfUidTest, KnowsSopClassesAndTransferSyntaxes) {
  EXPECT_EQ(NameOfUid("1.2.840.10008.5.1.4.1.1.2"), "CTImageStorage");
  EXPECT_EQ(NameOfUid("1.2.840.10008.1.2.4.90"), "JPEG2000LosslessOnly");
}

TEST(NameOfUidTest, AnUnknownUidIsItsOwnName) {
  EXPECT_EQ(NameOfUid("1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(NameOfUid(""), "");
  EXPECT_EQ(NameOfUid(std::string_view("1.2.840.10008.1.2.4.90", 5)), "1.2.8");  // a view that does not end in NUL
}

}  // namespace
}  // namespace dicom_sender
