// Which files are DICOM, what is read from them, and which are not regular files.
#include "dicom/file/file_header.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "common/unique_fd.h"
#include "dicom/file/inflating_reader.h"
#include "tests/support/dicom_writer.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/dicom/file/read_bytes.h"

namespace dicom_sender {
namespace {

using Form = DicomWriter::Form;
using testing::HasSubstr;

std::string SmallDataset(Form form = Form::kExplicitLittle) {
  return DicomWriter(form).Uids().Element(0x7FE0, 0x0010, "OW", "pixels").bytes();
}

void ExpectUids(const FileHeader& header, std::string_view transfer_syntax, std::uint64_t dataset_offset) {
  EXPECT_EQ(header.sop_class_uid, kCtClass);
  EXPECT_EQ(header.sop_instance_uid, "1.2.3.4");
  EXPECT_EQ(header.study_instance_uid, "1.2.3");
  EXPECT_EQ(header.transfer_syntax_uid, transfer_syntax);
  EXPECT_EQ(header.dataset_offset, dataset_offset);
}

struct Recognised {
  const char* what;
  std::string before;  // the dataset
  Form form;
  std::string_view transfer_syntax;
};

// PS3.10 7.1, and deviations from it.
TEST(FileHeaderTest, EveryBeginningThatDcmtkReads) {
  std::string wrong_length = MetaHeader(kExplicit), short_length = wrong_length;
  wrong_length[140] = '\x7F';
  short_length[140] = '\x08';
  const Recognised cells[] = {
      {"as it must be", MetaHeader(kExplicit), Form::kExplicitLittle, kExplicit},
      {"implicit", MetaHeader(kImplicit), Form::kImplicitLittle, kImplicit},
      {"big endian", MetaHeader(kBigEndian), Form::kExplicitBig, kBigEndian},
      {"no group length", Preamble() + MetaElements(kExplicit), Form::kExplicitLittle, kExplicit},
      {"group length too long", wrong_length, Form::kExplicitLittle, kExplicit},
      {"group length too short", short_length, Form::kExplicitLittle, kExplicit},
      {"no preamble", MetaElements(kExplicit), Form::kExplicitLittle, kExplicit},
      {"no transfer syntax, explicit", MetaHeader(""), Form::kExplicitLittle, kExplicit},
      {"no transfer syntax, implicit", MetaHeader(""), Form::kImplicitLittle, kImplicit},
      {"no transfer syntax, big endian", MetaHeader(""), Form::kExplicitBig, kBigEndian},
      {"no meta header", Preamble(), Form::kImplicitLittle, kImplicit},
      {"neither, explicit", "", Form::kExplicitLittle, kExplicit},
      {"neither, implicit", "", Form::kImplicitLittle, kImplicit},
      {"neither, big endian", "", Form::kExplicitBig, kBigEndian},
      {"explicit, but implicit", MetaHeader(kExplicit), Form::kImplicitLittle, kImplicit},
      {"explicit, but big endian", MetaHeader(kExplicit), Form::kExplicitBig, kBigEndian},
      {"implicit, but explicit", MetaHeader(kImplicit), Form::kExplicitLittle, kExplicit},
      {"big endian, but little", MetaHeader(kBigEndian), Form::kExplicitLittle, kExplicit},
      {"big endian, but implicit", MetaHeader(kBigEndian), Form::kImplicitLittle, kImplicit},
      {"a private one", MetaHeader("1.2.840.113619.5.2"), Form::kImplicitLittle, "1.2.840.113619.5.2"},
      {"Papyrus", MetaHeader("1.2.840.10008.1.20"), Form::kImplicitLittle, "1.2.840.10008.1.20"},
  };
  for (const Recognised& cell : cells) {
    SCOPED_TRACE(cell.what);
    const auto result = ReadBytesAsFile(cell.before + SmallDataset(cell.form));
    ASSERT_TRUE(result) << result.error().reason;
    ExpectUids(*result, cell.transfer_syntax, cell.before.size());
  }
}

// As in DCMTK, such elements are sent as a part of the dataset.
TEST(FileHeaderTest, ADatasetMayBeginWithElementsOfTheMetaGroup) {
  const auto version = [](Form form) {
    return DicomWriter(form).Element(0x0002, 0x0013, "SH", "ABCD").Uid(0x0002, 0x0010, kJpegBaseline).bytes();
  };
  const Recognised cells[] = {
      {"implicit", MetaHeader(kImplicit), Form::kImplicitLittle, kImplicit},
      {"explicit", MetaHeader(kExplicit), Form::kExplicitLittle, kExplicit},
      {"big endian", MetaHeader(kBigEndian), Form::kExplicitBig, kBigEndian},
      {"Papyrus", MetaHeader("1.2.840.10008.1.20"), Form::kImplicitLittle, "1.2.840.10008.1.20"},
      {"implicit, no group length", Preamble() + MetaElements(kImplicit), Form::kImplicitLittle, kImplicit},
  };
  for (const Recognised& cell : cells) {
    SCOPED_TRACE(cell.what);
    const auto result = ReadBytesAsFile(cell.before + version(cell.form) + SmallDataset(cell.form));
    ASSERT_TRUE(result) << result.error().reason;
    ExpectUids(*result, cell.transfer_syntax, cell.before.size());
  }
}

// The group length ends before the transfer syntax, or before an explicit VR element in the file of an implicit VR
// dataset.
TEST(FileHeaderTest, AGroupLengthThatCannotBeTrueIsIgnored) {
  std::string meta = MetaHeader(kImplicit);
  for (const char short_length : {'\0', '\x0E'}) {
    meta[140] = short_length;
    const auto result = ReadBytesAsFile(meta + SmallDataset(Form::kImplicitLittle));
    ASSERT_TRUE(result) << result.error().reason;
    ExpectUids(*result, kImplicit, meta.size());
  }
  meta = MetaHeader(kImplicit);
  const std::string more = DicomWriter().Element(0x0002, 0x0013, "SH", "ABCD").bytes();
  const auto result = ReadBytesAsFile(meta + more + SmallDataset(Form::kImplicitLittle));
  ASSERT_TRUE(result) << result.error().reason;
  ExpectUids(*result, kImplicit, meta.size() + more.size());
}

std::string AccessionNumberOf(std::string_view value, Form form = Form::kExplicitLittle) {
  const std::string_view syntax = form == Form::kImplicitLittle ? kImplicit : kExplicit;
  const auto result = ReadBytesAsFile(MetaHeader(syntax) + DicomWriter(form)
                                                               .Uid(0x0008, 0x0016, kCtClass)
                                                               .Uid(0x0008, 0x0018, "1.2.3.4")
                                                               .Element(0x0008, 0x0050, "SH", value)
                                                               .Uid(0x0020, 0x000D, "1.2.3")
                                                               .bytes());
  if (!result) return Verdict(result);
  ExpectUids(*result, syntax, MetaHeader(syntax).size());
  return result->accession_number;
}

// Whatever the value is, the file is accepted and the value is printable.
TEST(FileHeaderTest, AMalformedAccessionNumberIsTolerated) {
  for (const Form form : {Form::kExplicitLittle, Form::kImplicitLittle}) {
    EXPECT_EQ(AccessionNumberOf("A-123/4 ", form), "A-123/4");
    EXPECT_EQ(AccessionNumberOf("", form), "");
    EXPECT_EQ(AccessionNumberOf(std::string("  \0\0  ", 6), form), "");
    EXPECT_EQ(AccessionNumberOf(std::string(" 7 8\0", 5), form), "7 8");
    EXPECT_EQ(AccessionNumberOf("\x1B$B\xC3\n'", form), "?$B?\?'");
    EXPECT_EQ(AccessionNumberOf(std::string(1000, '9'), form), std::string(kAccessionNumberBytesMax, '9'));
    // In implicit VR the value looks like a sequence.
    EXPECT_EQ(AccessionNumberOf(std::string("\xFE\xFF\x00\xE0\x00\x00\x00\x00", 8), form), "????");
  }
  EXPECT_EQ(ReadBytesAsFile(MetaHeader(kExplicit) + SmallDataset())->accession_number, "");
  const std::string twice =
      DicomWriter().Element(0x0008, 0x0050, "SH", "1 ").Element(0x0008, 0x0050, "SH", "2 ").bytes();
  EXPECT_EQ(ReadBytesAsFile(MetaHeader(kExplicit) + twice)->accession_number, "1") << "the first counts";
  const std::string in_item = DicomWriter()
                                  .Header(0x0008, 0x1111, "SQ", kUndefined)
                                  .Item(kUndefined)
                                  .Element(0x0008, 0x0050, "SH", "other ")
                                  .EndItem()
                                  .EndSequence()
                                  .bytes();
  EXPECT_EQ(ReadBytesAsFile(MetaHeader(kExplicit) + in_item)->accession_number, "") << "another study's";
}

TEST(FileHeaderTest, ACompressedSyntaxIsExplicitLittleEndian) {
  for (const Form form : {Form::kImplicitLittle, Form::kExplicitBig}) {
    const auto result = ReadBytesAsFile(MetaHeader(kJpegBaseline) + DicomWriter(form).Uids().bytes());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().problem, HeaderProblem::kMalformed);
    EXPECT_THAT(result.error().reason, HasSubstr("its transfer syntax is 1.2.840.10008.1.2.4.50, but"));
  }
}

TEST(FileHeaderTest, FilesThatAreNotDicom) {
  const std::string noise(200, '\xA5');
  for (const std::string& bytes :
       {std::string("x"), std::string("hello, world\n"), noise, std::string("PK\3\4 a zip archive"),
        std::string("\x1F\x8B\x08\0\0\0\0\0\0\3 gzip", 15), std::string(500, '\0'), std::string("DICM and no more"),
        std::string("MZ") + noise, std::string("II*\0\x08\0\0\0\1\2\3\4", 12),
        std::string(127, '\0') + "DICM" + noise,
        // Eight bytes that could begin an implicit VR dataset, without a valid continuation.
        std::string("\x08\0\x05\0\x02\0\0\0ab", 10) + noise}) {
    const auto result = ReadBytesAsFile(bytes);
    ASSERT_FALSE(result);
    EXPECT_EQ(Verdict(result), "not DICOM") << result.error().reason;
    EXPECT_FALSE(IsBrokenDicom(result.error().problem));
  }
  EXPECT_EQ(Verdict(ReadBytesAsFile("")), "empty");
}

TEST(FileHeaderTest, ADicomdirIsRecognizedByItsContent) {
  constexpr std::string_view directory = "1.2.840.10008.1.3.10";
  const std::string records = DicomWriter().Header(0x0004, 0x1220, "SQ", kUndefined).EndSequence().bytes();
  const std::string in_dataset = DicomWriter().Uid(0x0008, 0x0016, directory).bytes();
  for (const std::string& bytes :
       {MetaHeader(kExplicit, directory), MetaHeader(kExplicit, directory) + records.substr(0, 10),
        MetaHeader(kExplicit, "") + records, MetaHeader(kExplicit, "") + in_dataset, in_dataset}) {
    EXPECT_EQ(Verdict(ReadBytesAsFile(bytes)), "DICOMDIR");
  }
}

// No proper prefix of a file may be good, except where the dataset happens to end between two elements, which cannot
// be detected. A shorter prefix must not report anything that a longer one does not.
TEST(FileHeaderTest, EveryTruncationIsDetected) {
  for (const bool has_preamble : {true, false}) {
    const std::string meta = has_preamble ? MetaHeader(kExplicit) : MetaElements(kExplicit);
    std::vector<std::size_t> element_ends;
    DicomWriter dataset;
    const auto end_element = [&] { element_ends.push_back(meta.size() + dataset.bytes().size()); };
    dataset.Uid(0x0008, 0x0016, kCtClass), end_element();
    dataset.Uid(0x0008, 0x0018, "1.2.3.4"), end_element();
    dataset.Header(0x0008, 0x1140, "SQ", kUndefined).Item(kUndefined).Element(0x0010, 0x0010, "PN", "ab").EndItem();
    dataset.Item(10).Element(0x0010, 0x0010, "PN", "ab").EndSequence(), end_element();
    dataset.Uid(0x0020, 0x000D, "1.2.3"), end_element();
    dataset.Header(0x0088, 0x0200, "SQ", 18).Item(10).Element(0x0010, 0x0010, "PN", "ab"), end_element();
    dataset.Element(0x7FE0, 0x0010, "OW", "pixels"), end_element();
    const std::string file = meta + dataset.bytes();
    for (std::size_t size = 1; size <= file.size(); ++size) {
      SCOPED_TRACE(size);
      const auto result = ReadBytesAsFile(file.substr(0, size));
      const bool is_end = std::find(element_ends.begin(), element_ends.end(), size) != element_ends.end();
      ASSERT_EQ(result.has_value(), is_end);
      const FileHeader& known = result ? *result : result.error().known;
      EXPECT_EQ(known.identity.size_bytes, size);
      EXPECT_EQ(known.study_instance_uid, size >= element_ends[3] ? "1.2.3" : "");
      if (result) continue;
      const bool is_recognised = size >= (has_preamble ? 132 : 14) /* the prefix; the first element */;
      EXPECT_EQ(Verdict(result), is_recognised ? "truncated" : "not DICOM") << result.error().reason;
    }
  }
}

TEST(FileHeaderTest, EveryTruncationIsDetectedInFragmentsAndBigEndianAndDeflated) {
  DicomWriter jpeg, big(Form::kExplicitBig);
  const std::size_t start = jpeg.Uids().bytes().size();
  jpeg.Header(0x7FE0, 0x0010, "OB", kUndefined).Item(0).Item(6).Raw("pixels").EndSequence();
  big.Uids().Element(0x7FE0, 0x0010, "OW", "pixels");
  const std::string packed = Deflated(SmallDataset());
  const struct {
    std::string meta, dataset;
    std::size_t uids_end;  // shorter prefixes may be valid datasets
  } cells[] = {{MetaHeader(kJpegBaseline), jpeg.bytes(), start},
               {MetaHeader(kBigEndian), big.bytes(), start},
               {MetaHeader(kDeflate), packed, 0}};
  for (const auto& cell : cells) {
    for (std::size_t size = cell.uids_end + 1; size < cell.dataset.size(); ++size) {
      EXPECT_EQ(Verdict(ReadBytesAsFile(cell.meta + cell.dataset.substr(0, size))), "truncated") << size;
    }
    EXPECT_EQ(Verdict(ReadBytesAsFile(cell.meta + cell.dataset)), "good");
  }
}

TEST(FileHeaderTest, ATruncatedFileIsReportedWithItsUids) {
  const std::string file = MetaHeader(kExplicit) + SmallDataset();
  const auto late = ReadBytesAsFile(file.substr(0, file.size() - 1));
  ASSERT_FALSE(late);
  ExpectUids(late.error().known, kExplicit, MetaHeader(kExplicit).size());
  EXPECT_EQ(late.error().reason, "it ends inside element (7FE0,0010)");

  const auto early = ReadBytesAsFile(MetaHeader(kExplicit) + SmallDataset().substr(0, 20));
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().known.sop_class_uid, kCtClass) << "of the meta header";
  EXPECT_EQ(early.error().known.sop_instance_uid, "1.2.3.4.5") << "of the meta header";
}

// ---- UIDs

std::string WithInstance(std::string_view value) {
  return MetaHeader(kExplicit) +
         DicomWriter().Uid(0x0008, 0x0016, kCtClass).Element(0x0008, 0x0018, "UI", value).bytes();
}

TEST(FileHeaderTest, UidsAreReadWithoutPadding) {
  const std::string longest(64, '1');
  const std::pair<std::string, std::string> cells[] = {
      {"1.2.3", "1.2.3"},
      {std::string("1.2.3\0", 6), "1.2.3"},
      {"1.2.3 ", "1.2.3"},
      {std::string("1.2\0 \0\0", 7), "1.2"},
      {"", ""},
      {std::string(2, '\0'), ""},
      {"no UID", "no UID"},
      {longest, longest},
      {longest + ' ', longest},
      {longest + std::string(100, '\0'), longest},
  };
  for (const auto& [value, uid] : cells) {
    const auto result = ReadBytesAsFile(WithInstance(value));
    ASSERT_TRUE(result) << result.error().reason;
    EXPECT_EQ(result->sop_instance_uid, uid);
  }
  for (const std::string& value :
       {std::string(65, '1'), std::string(1000, '1'), std::string("1.2\0.3", 6), std::string("1.2\n3"),
        std::string("1.2.\xC3\xA4"), longest + std::string(1000, ' ')}) {
    EXPECT_EQ(Verdict(ReadBytesAsFile(WithInstance(value))), "malformed") << value;
  }
}

TEST(FileHeaderTest, MissingUidsStayEmpty) {
  const auto result =
      ReadBytesAsFile(MetaHeader(kExplicit) + DicomWriter().Element(0x0010, 0x0010, "PN", "ab").bytes());
  ASSERT_TRUE(result) << result.error().reason;
  EXPECT_EQ(result->sop_class_uid + result->sop_instance_uid + result->study_instance_uid, "");
}

TEST(FileHeaderTest, OnlyTopLevelElementsCountAndTheFirstOfTwo) {
  DicomWriter dataset;
  dataset.Header(0x0008, 0x0006, "SQ", kUndefined)
      .Item(kUndefined)
      .Uid(0x0008, 0x0018, "9.9")
      .EndItem()
      .EndSequence();
  dataset.Uids().Uid(0x0008, 0x0018, "8.8");
  const auto result = ReadBytesAsFile(MetaHeader(kExplicit) + dataset.bytes());
  ASSERT_TRUE(result) << result.error().reason;
  EXPECT_EQ(result->sop_instance_uid, "1.2.3.4");
}

// ---- files

class FileTest : public testing::Test {
 protected:
  std::string Reason(const std::string& path, HeaderProblem problem = HeaderProblem::kUnreadable) {
    const auto result = ReadFileHeader(path);
    if (result) return "good";
    EXPECT_EQ(Name(result.error().problem), std::string(Name(problem)));
    return result.error().reason;
  }
  const TemporaryFolder folder_;
};

TEST_F(FileTest, NonRegularFilesAreNotDicomAndNeverBlock) {
  const std::string pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  constexpr auto kNo = HeaderProblem::kNotDicom;
  EXPECT_THAT(Reason(pipe, kNo), HasSubstr("pipe"));  // without O_NONBLOCK this would wait for a writer
  EXPECT_THAT(Reason(folder_.path(), kNo), HasSubstr("folder"));
  EXPECT_THAT(Reason("/dev/null", kNo), HasSubstr("device"));
  std::filesystem::create_symlink("loop", folder_ / "loop");
  EXPECT_THAT(Reason(folder_ / "loop", kNo), HasSubstr("symbolic links"));
}

TEST_F(FileTest, AFileThatCannotBeOpenedMayBeAnInstance) {
  EXPECT_THAT(Reason(folder_ / "missing"), HasSubstr("No such file"));
}

TEST_F(FileTest, NoPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const std::string path = folder_ / "secret";
  std::ofstream(path) << MetaHeader(kExplicit) + SmallDataset();
  std::filesystem::permissions(path, std::filesystem::perms::none);
  EXPECT_THAT(Reason(path), HasSubstr("Permission denied"));
}

TEST_F(FileTest, IdentityIsSizeAndModificationTime) {
  const std::string path = folder_ / "file", bytes = MetaHeader(kExplicit) + SmallDataset();
  std::ofstream(path, std::ios::binary) << bytes;
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 1234567890, .tv_nsec = 123456789}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  const auto result = ReadFileHeader(path);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->identity, (FileIdentity{.size_bytes = bytes.size(), .mtime_ns = 1234567890123456789}));
}

// A sparse file of 8 GiB is read quickly, and its end is checked by its size.
TEST_F(FileTest, LargeValuesAreSkippedUnread) {
  const std::string path = folder_ / "large";
  const std::string head =
      MetaHeader(kExplicit) + DicomWriter().Uids().Header(0x7FE0, 0x0010, "OW", 0xFFFFFFFE).bytes();
  const std::string next = DicomWriter().Header(0x7FE0, 0x0011, "OW", 0xFFFFFFFC).bytes();
  std::ofstream(path, std::ios::binary).write(head.data(), static_cast<std::streamsize>(head.size()));
  const UniqueFd fd(open(path.c_str(), O_WRONLY));
  const auto second = static_cast<off_t>(head.size()) + 0xFFFFFFFEL;
  ASSERT_EQ(pwrite(fd.get(), next.data(), next.size(), second), static_cast<ssize_t>(next.size()));
  const off_t end = second + static_cast<off_t>(next.size()) + 0xFFFFFFFCL;
  ASSERT_EQ(ftruncate(fd.get(), end), 0);
  EXPECT_TRUE(ReadFileHeader(path));
  ASSERT_EQ(ftruncate(fd.get(), end - 1), 0);
  EXPECT_EQ(Reason(path, HeaderProblem::kTruncated), "it ends inside element (7FE0,0011)");
}

// Returns the number of read(2)-like system calls of this thread so far, as Linux counts them.
std::optional<std::uint64_t> CountReads() {
  std::ifstream io("/proc/thread-self/io");
  std::uint64_t count = 0;
  for (std::string name; io >> name >> count;) {
    if (name == "syscr:") return count;
  }
  return std::nullopt;
}

// One read is enough if the file ends with the pixel data; otherwise a second one reads what follows.
TEST_F(FileTest, AnOrdinaryFileIsReadAtMostTwice) {
  const std::string path = folder_ / "ordinary", pixels(512 << 10, 'x');
  std::ofstream(path, std::ios::binary) << MetaHeader(kExplicit)
                                        << DicomWriter().Uids().Element(0x7FE0, 0x0010, "OW", pixels).bytes()
                                        << DicomWriter().Element(0xFFFC, 0xFFFC, "OB", "trailing").bytes();
  const auto counted = [&](const auto& action) {
    const auto before = CountReads();
    action();
    const auto after = CountReads();
    return before && after ? *after - *before : 0;
  };
  const std::uint64_t counting = counted([] {});
  if (counting == 0) GTEST_SKIP() << "this kernel does not count reads";
  bool good = false;
  EXPECT_LE(counted([&] { good = ReadFileHeader(path).has_value(); }) - counting, 2U);
  EXPECT_TRUE(good);
}

TEST_F(FileTest, HeadersFarApartAreFound) {
  DicomWriter dataset;
  dataset.Uid(0x0008, 0x0016, kCtClass);
  for (std::uint16_t i = 0; i < 200; ++i) dataset.Element(0x0009, 0x1000 + i, "OB", std::string(i * 37u % 1500, 'x'));
  dataset.Element(0x0011, 0x1000, "OB", std::string(100000, 'x')).Uid(0x0020, 0x000D, "1.2.3");
  for (std::uint16_t i = 0; i < 9000; ++i) dataset.Element(0x0021, 0x1000 + i, "LO", "");
  dataset.Uid(0x0022, 0x0018, "1.2.3.4").Uid(0x0008, 0x0018, "1.2.3.4");
  const auto result = ReadBytesAsFile(MetaHeader(kExplicit) + dataset.bytes());
  ASSERT_TRUE(result) << result.error().reason;
  ExpectUids(*result, kExplicit, MetaHeader(kExplicit).size());
}

TEST_F(FileTest, EndlessZerosAreLimited) {
  const std::string bytes = Deflated(DicomWriter().Uids().Raw(std::string(90'000'000, '\0')));
  EXPECT_LT(bytes.size(), 200'000u);
  const auto result = ReadBytesAsFile(MetaHeader(kDeflate) + bytes);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().reason, HasSubstr("more than 10000000 elements"));
}

// ---- the underlying readers

class ReaderTest : public FileTest {
 protected:
  int Open(std::string_view bytes) {
    const std::string path = folder_ / "bytes";
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    fd_ = UniqueFd(open(path.c_str(), O_RDWR));
    return fd_.get();
  }
  UniqueFd fd_;
};

TEST_F(ReaderTest, AFileThatBecomesShorterIsReported) {
  const std::string bytes(100000, 'x');
  FileReader reader(Open(bytes), bytes.size());
  ASSERT_NE(reader.Peek(8), nullptr);
  ASSERT_EQ(ftruncate(fd_.get(), 50000), 0);
  ASSERT_TRUE(reader.Skip(90000));
  EXPECT_EQ(reader.Peek(8), nullptr);
  ASSERT_TRUE(reader.failure());
  EXPECT_EQ(reader.failure()->problem, HeaderProblem::kTruncated);
  EXPECT_THAT(reader.failure()->reason, HasSubstr("became shorter while it was read"));
}

TEST_F(ReaderTest, InflatedDataBeyondTheLimitIsRefused) {
  const std::string bomb = Deflated(std::string(8 << 20, '\0'));
  FileReader source(Open(bomb), bomb.size());
  InflatingReader reader(source, 1 << 20);
  EXPECT_TRUE(reader.Skip(1 << 19));
  EXPECT_FALSE(reader.Skip(8 << 20));
  ASSERT_TRUE(reader.failure());
  EXPECT_EQ(reader.failure()->problem, HeaderProblem::kMalformed);
  EXPECT_EQ(reader.Peek(1), nullptr);
}

}  // namespace
}  // namespace dicom_sender
