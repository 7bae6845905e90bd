#include "dicom/transfer_syntax.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcxfer.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using transfer_syntax_table::kAll;

template <typename Has>
std::vector<std::string_view> UidsWith(Has has) {
  std::vector<std::string_view> uids;
  for (const TransferSyntax& syntax : kAll) {
    if ((syntax.*has)()) uids.push_back(syntax.uid);
  }
  return uids;
}

TEST(TransferSyntaxTest, OnlyStandardSyntaxesAreKnown) {
  for (const char* uid : {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
                          "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.205",
                          "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"}) {
    EXPECT_NE(FindTransferSyntax(uid), nullptr) << uid;
  }
  for (const char* uid :
       {"", "1.2.840.10008.1.20", "1.2.840.10008.1.2.10", "1.2.840.10008.1.2.40", "1.2.840.10008.1.2.4",
        "1.2.840.10008.1.2.50", "1.2.840.10008.1.2.6.1", "1.2.840.113619.5.2"}) {
    EXPECT_EQ(FindTransferSyntax(uid), nullptr) << uid;
    EXPECT_FALSE(IsUncompressedSyntax(uid) || IsDeflatedSyntax(uid) || CanDecode(uid)) << uid;
  }
}

TEST(TransferSyntaxTest, ThreeAreDeflated) {
  for (const char* uid : {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}) {
    EXPECT_TRUE(IsDeflatedSyntax(uid)) << uid;
    EXPECT_EQ(FindTransferSyntax(uid)->encoding, kExplicitLittleEncoding) << uid;
  }
  EXPECT_THAT(UidsWith(&TransferSyntax::deflated),
              ElementsAre("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"));
  EXPECT_FALSE(IsDeflatedSyntax("1.2.840.10008.1.2.4.94"));
  EXPECT_FALSE(IsDeflatedSyntax("1.2.840.10008.1.2.8.1")) << "its frames are deflated, its dataset is not";
}

TEST(TransferSyntaxTest, FourReferToPixelDataElsewhere) {
  EXPECT_THAT(UidsWith(&TransferSyntax::referenced),
              ElementsAre("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204",
                          "1.2.840.10008.1.2.4.205"));
}

TEST(TransferSyntaxTest, ThreeAreUncompressed) {
  for (const TransferSyntax& syntax : kAll) {
    const bool is_uncompressed = syntax.uid == UncompressedSyntax(syntax.encoding);
    EXPECT_EQ(IsUncompressedSyntax(syntax.uid), is_uncompressed) << syntax.uid;
  }
}

TEST(TransferSyntaxTest, AnUnknownImageCompressionIsEncapsulatedAndNotDecodable) {
  const TransferSyntax* syntax = FindTransferSyntax("1.2.840.10008.1.2.4.999");
  ASSERT_NE(syntax, nullptr);
  EXPECT_TRUE(syntax->encapsulated());
  EXPECT_FALSE(syntax->decodable());
  EXPECT_FALSE(syntax->deflated());
  EXPECT_EQ(syntax->encoding, kExplicitLittleEncoding);
}

TEST(TransferSyntaxTest, EachSyntaxIsListedOnceAndAgreesWithDcmtk) {
  std::set<std::string_view> uids;
  int known_to_dcmtk = 0;
  for (const TransferSyntax& syntax : kAll) {
    SCOPED_TRACE(syntax.uid);
    EXPECT_TRUE(uids.insert(syntax.uid).second);
    const DcmXfer dcmtk(std::string(syntax.uid).c_str());
    if (dcmtk.getXfer() == EXS_Unknown) continue;
    ++known_to_dcmtk;
    EXPECT_EQ(syntax.encoding.implicit_vr, dcmtk.isImplicitVR());
    EXPECT_EQ(syntax.encoding.big_endian, dcmtk.isBigEndian());
    EXPECT_EQ(syntax.deflated(), dcmtk.getStreamCompression() != ESC_none);
    EXPECT_EQ(syntax.encapsulated(), dcmtk.isEncapsulated());
    EXPECT_EQ(syntax.retired(), dcmtk.isRetired());
    EXPECT_EQ(syntax.referenced(), dcmtk.isReferenced());
    EXPECT_TRUE(!syntax.lossy() || dcmtk.isLossy());
  }
  EXPECT_GE(known_to_dcmtk, 40);
}

}  // namespace
}  // namespace dicom_sender
