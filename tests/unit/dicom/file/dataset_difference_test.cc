// When two files contain the same dataset, and how a difference is described.
#include "dicom/file/dataset_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/dicom_writer.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/dicom/file/read_bytes.h"

namespace dicom_sender {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DatasetDifferenceTest : public testing::Test {
 protected:
  static DicomWriter Dataset(std::string_view name, std::string_view pixels) {
    return DicomWriter()
        .Uids()
        .Header(0x0040, 0x0275, "SQ", kUndefined)
        .Item(kUndefined)
        .Element(0x0040, 0x0007, "LO", name)
        .EndItem()
        .EndSequence()
        .Element(0x7FE0, 0x0010, "OW", pixels);
  }
  std::string Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  std::string Write(const std::string& name, const DicomWriter& dataset, std::string_view syntax = kExplicit) {
    return Write(name, MetaHeader(syntax) + dataset.bytes());
  }

  TemporaryFolder folder_;
};

TEST_F(DatasetDifferenceTest, EqualDatasets) {
  const std::string a = Write("a", Dataset("chest ", "pixels")), b = Write("b", Dataset("chest ", "pixels"));
  EXPECT_EQ(DatasetDifference(a, b), "");
}

// Preamble and meta header are not sent.
TEST_F(DatasetDifferenceTest, PreambleAndMetaHeaderAreIgnored) {
  const std::string a = Write("a", Dataset("chest ", "pixels"));
  const std::string b = Write("b", MetaElements(kExplicit) + Dataset("chest ", "pixels").bytes());
  EXPECT_EQ(DatasetDifference(a, b), "");
}

TEST_F(DatasetDifferenceTest, TheElementThatDiffersIsNamed) {
  const std::string a = Write("a", Dataset("chest ", "pixels"));
  EXPECT_EQ(DatasetDifference(a, Write("b", Dataset("chest ", "pixelS"))), "(7FE0,0010) differs");
  // A difference within a sequence is reported as the sequence.
  EXPECT_EQ(DatasetDifference(a, Write("c", Dataset("breast", "pixels"))), "(0040,0275) differs");
  EXPECT_EQ(DatasetDifference(a, Write("d", Dataset("chest ", "more pixels."))), "(7FE0,0010) differs");
}

TEST_F(DatasetDifferenceTest, MoreThanABlockIsCompared) {
  std::string pixels(1 << 20, 'x');
  const std::string a = Write("a", Dataset("chest ", pixels));
  EXPECT_EQ(DatasetDifference(a, Write("b", Dataset("chest ", pixels))), "");
  pixels.back() = 'y';
  EXPECT_EQ(DatasetDifference(a, Write("c", Dataset("chest ", pixels))), "(7FE0,0010) differs");
}

TEST_F(DatasetDifferenceTest, ALongerDatasetDiffers) {
  const std::string a = Write("a", Dataset("chest ", "pixels"));
  const std::string b = Write("b", Dataset("chest ", "pixels").Element(0xFFFC, 0xFFFC, "OB", "padding."));
  EXPECT_EQ(DatasetDifference(a, b), "(FFFC,FFFC) is in one of them only");
  EXPECT_EQ(DatasetDifference(b, a), "(FFFC,FFFC) is in one of them only");
}

TEST_F(DatasetDifferenceTest, ADifferentTransferSyntaxIsADifference) {
  const std::string a = Write("a", DicomWriter().Uids());
  const std::string b =
      Write("b", MetaHeader(kImplicit) + DicomWriter(DicomWriter::Form::kImplicitLittle).Uids().bytes());
  EXPECT_EQ(DatasetDifference(a, b), "transfer syntax 1.2.840.10008.1.2.1 instead of 1.2.840.10008.1.2");
}

TEST_F(DatasetDifferenceTest, ADifferentStudyIsNamed) {
  const auto in_study = [](std::string_view uid) {
    return DicomWriter().Uid(0x0008, 0x0016, kCtClass).Uid(0x0008, 0x0018, "1.2.3.4").Uid(0x0020, 0x000D, uid);
  };
  EXPECT_EQ(DatasetDifference(Write("a", in_study("1.2.3")), Write("b", in_study("1.2.4"))),
            "Study Instance UID '1.2.3' instead of '1.2.4'");
}

TEST_F(DatasetDifferenceTest, AFileThatCannotBeReadIsNotCompared) {
  const std::string a = Write("a", Dataset("chest ", "pixels")), gone = folder_ / "gone";
  EXPECT_THAT(DatasetDifference(a, gone), AllOf(HasSubstr("not compared"), HasSubstr(gone + " cannot be read")));
  EXPECT_THAT(DatasetDifference(gone, a), HasSubstr("No such file"));
  EXPECT_THAT(DatasetDifference(a, Write("text", std::string("no DICOM at all"))), HasSubstr("not compared"));
}

}  // namespace
}  // namespace dicom_sender
