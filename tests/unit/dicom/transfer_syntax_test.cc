#include "dicom/transfer_syntax.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

TEST(TransferSyntaxTest, OnlyTheStandardsOwnAreStandard) {
  for (const char* uid : {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
                          "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.205",
                          "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"}) {
    EXPECT_TRUE(IsStandardSyntax(uid)) << uid;
  }
  for (const char* uid :
       {"", "1.2.840.10008.1.20", "1.2.840.10008.1.2.10", "1.2.840.10008.1.2.40", "1.2.840.10008.1.2.4",
        "1.2.840.10008.1.2.50", "1.2.840.10008.1.2.6.1", "1.2.840.113619.5.2"}) {
    EXPECT_FALSE(IsStandardSyntax(uid)) << uid;
  }
}

TEST(TransferSyntaxTest, ThreeAreDeflated) {
  for (const char* uid : {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}) {
    EXPECT_TRUE(IsDeflatedSyntax(uid)) << uid;
    EXPECT_EQ(EncodingOf(uid), kExplicitLittleEncoding) << uid;
  }
  EXPECT_FALSE(IsDeflatedSyntax("1.2.840.10008.1.2.4.94"));
  EXPECT_FALSE(IsDeflatedSyntax("1.2.840.10008.1.2.8.1")) << "its frames are deflated, its dataset is not";
}

}  // namespace
}  // namespace dicom_sender
