// Valid and invalid bytes, with the relevant clauses of PS3.5.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "tests/support/dicom_writer.h"
#include "tests/unit/dicom/file/read_bytes.h"

namespace dicom_sender {
namespace {

using Form = DicomWriter::Form;
using testing::HasSubstr;

// The structure of a sequence with one item and one element, with defined and undefined lengths (PS3.5 7.5.1, 7.5.2).
DicomWriter& Sequence(DicomWriter& out, bool sequence_length, bool item_length) {
  const std::uint32_t inner = 8 + 4, item = inner + (item_length ? 0 : 8), all = 8 + item;
  out.Header(0x0008, 0x1140, "SQ", sequence_length ? all : kUndefined);
  out.Item(item_length ? inner : kUndefined).Element(0x0008, 0x1155, "UI", std::string_view("1.2\0", 4));
  if (!item_length) out.EndItem();
  if (!sequence_length) out.EndSequence();
  return out;
}

std::string Fragments(std::initializer_list<std::string_view> fragments, bool ends = true) {
  DicomWriter out;
  out.Header(0x7FE0, 0x0010, "OB", kUndefined).Item(0);
  for (const auto fragment : fragments) out.Item(static_cast<std::uint32_t>(fragment.size())).Raw(fragment);
  if (ends) out.EndSequence();
  return out.bytes();
}

struct Cell {
  const char* what;
  std::string file;
  std::string verdict;
};

void ExpectVerdicts(const std::vector<Cell>& cells) {
  for (const Cell& cell : cells) {
    SCOPED_TRACE(cell.what);
    const auto result = ReadBytesAsFile(cell.file);
    EXPECT_EQ(Verdict(result), cell.verdict) << (result ? "" : result.error().reason);
  }
}

std::string Explicit(std::string_view rest) { return MetaHeader(kExplicit) + DicomWriter().Uids().Raw(rest).bytes(); }
std::string Implicit(std::string_view rest) {
  return MetaHeader(kImplicit) + DicomWriter(Form::kImplicitLittle).Uids().Raw(rest).bytes();
}
std::string Jpeg(std::string_view rest) { return MetaHeader(kJpegBaseline) + DicomWriter().Uids().Raw(rest).bytes(); }

TEST(HeaderStructureTest, GoodSequences) {
  for (const Form form : {Form::kImplicitLittle, Form::kExplicitLittle, Form::kExplicitBig}) {
    const std::string_view syntax =
        form == Form::kImplicitLittle ? kImplicit : (form == Form::kExplicitBig ? kBigEndian : kExplicit);
    for (const bool sequence_length : {false, true}) {
      for (const bool item_length : {false, true}) {
        DicomWriter dataset(form);
        Sequence(dataset.Uids(), sequence_length, item_length).Uid(0x0020, 0x000E, "1.2.9");
        const auto result = ReadBytesAsFile(MetaHeader(syntax) + dataset.bytes());
        ASSERT_TRUE(result) << result.error().reason;
        EXPECT_EQ(result->transfer_syntax_uid, syntax);
        EXPECT_EQ(result->study_instance_uid, "1.2.3");
      }
    }
  }
}

TEST(HeaderStructureTest, ExplicitVrCells) {
  DicomWriter no_items, two_levels, empty_items;
  no_items.Header(0x0008, 0x1140, "SQ", 0);
  two_levels.Header(0x0008, 0x1140, "SQ", kUndefined).Item(kUndefined);
  Sequence(two_levels, false, true).EndItem().EndSequence();
  empty_items.Header(0x0008, 0x1140, "SQ", 16).Item(0).Item(0);
  ExpectVerdicts({
      {"7.5.2: a sequence without items", Explicit(no_items), "good"},
      {"7.5: sequences nest", Explicit(two_levels), "good"},
      {"7.5: empty items", Explicit(empty_items), "good"},
      {"6.2: 32 bits for the length of UT", Explicit(DicomWriter().Element(0x0040, 0xA160, "UT", "text")), "good"},
      {"6.2: and of a VR of the future", Explicit(DicomWriter().Element(0x0040, 0xA161, "QQ", "text")), "good"},
      {"seen: no VR, 16 bits", Explicit(DicomWriter().Element(0x0040, 0xA162, std::string_view("\0\0", 2), "ab")),
       "good"},
      {"seen: ?? for a VR, 16 bits", Explicit(DicomWriter().Element(0x0040, 0xA162, "??", "ab")), "good"},
      {"seen: odd length (against 7.1.1)", Explicit(DicomWriter().Element(0x0010, 0x4000, "LT", "abc")), "good"},
      {"seen: descending tags (against 7.1)", Explicit(DicomWriter().Element(0x0008, 0x0005, "CS", "")), "good"},
      {"seen: zeros behind the end", Explicit(std::string(16, '\0')), "good"},
      {"zeros that are no whole element", Explicit(std::string(13, '\0')), "truncated"},
      {"7.1: half a tag", Explicit("\x10"), "truncated"},
      {"7.1: half a long header", Explicit(DicomWriter().Header(0x7FE0, 0x0010, "OW", 0).bytes().substr(0, 10)),
       "truncated"},
      {"7.1: more value than file", Explicit(DicomWriter().Header(0x7FE0, 0x0010, "OW", 0xFFFFFFFE)), "truncated"},
      {"7.1: one byte more", Explicit(DicomWriter().Header(0x0010, 0x0010, "PN", 3).Raw("ab")), "truncated"},
      {"7.1.1: undefined length is not for UT", Explicit(DicomWriter().Header(0x0040, 0xA160, "UT", kUndefined)),
       "malformed"},
      {"7.1.1: nor for OB that is no pixel data", Explicit(DicomWriter().Header(0x0042, 0x0011, "OB", kUndefined)),
       "malformed"},
      {"7.5: an item outside", Explicit(DicomWriter().Item(0)), "malformed"},
      {"7.5: an item delimiter outside", Explicit(DicomWriter().EndItem()), "malformed"},
      {"7.5: a sequence delimiter outside", Explicit(DicomWriter().EndSequence()), "malformed"},
  });
}

TEST(HeaderStructureTest, BrokenSequences) {
  const auto sequence = [](std::uint32_t length) { return DicomWriter().Header(0x0008, 0x1140, "SQ", length); };
  const std::string name = DicomWriter().Element(0x0010, 0x0010, "PN", "ab").bytes();  // 10 bytes
  ExpectVerdicts({
      {"no end", Explicit(sequence(kUndefined)), "truncated"},
      {"no end behind an item", Explicit(sequence(kUndefined).Item(0)), "truncated"},
      {"no end of an item", Explicit(sequence(kUndefined).Item(kUndefined).Raw(name)), "truncated"},
      {"an item longer than the file", Explicit(sequence(kUndefined).Item(1000).Raw(name)), "truncated"},
      {"a sequence longer than the file", Explicit(sequence(1000).Item(10).Raw(name)), "truncated"},
      {"an element where an item must be", Explicit(sequence(kUndefined).Raw(name).EndSequence()), "malformed"},
      {"an element longer than its item", Explicit(sequence(17).Item(9).Raw(name)), "malformed"},
      {"an item that ends in a header", Explicit(sequence(12).Item(4).Raw(name)), "malformed"},
      {"an item within an item", Explicit(sequence(kUndefined).Item(kUndefined).Item(0).EndItem().EndSequence()),
       "malformed"},
      {"the end of the sequence within an item", Explicit(sequence(kUndefined).Item(kUndefined).EndSequence()),
       "malformed"},
      {"the end of an item without one", Explicit(sequence(kUndefined).EndItem()), "malformed"},
      // DCMTK accepts these: delimiters despite defined lengths, and items that are longer than their sequence.
      {"delimiters and lengths", Explicit(sequence(100).Item(20).Raw(name).EndItem().EndSequence()), "good"},
      {"an item longer than its sequence", Explicit(sequence(12).Item(10).Raw(name)), "good"},
  });
}

// PS3.5 6.2.2 note 4: the content of UN with undefined length is implicit VR little endian.
TEST(HeaderStructureTest, UnknownVrOfUndefinedLength) {
  DicomWriter inner(Form::kImplicitLittle);
  Sequence(inner.Item(kUndefined), false, false).Element(0x0010, 0x0010, "PN", "ab").EndItem().EndSequence();
  DicomWriter wrong;
  wrong.Item(kUndefined).Element(0x0010, 0x0010, "PN", "ab").EndItem().EndSequence();
  const std::string un = DicomWriter().Header(0x0009, 0x1001, "UN", kUndefined).bytes();
  const std::string big_un = DicomWriter(Form::kExplicitBig).Header(0x0009, 0x1001, "UN", kUndefined).bytes();
  const std::string big = MetaHeader(kBigEndian) + DicomWriter(Form::kExplicitBig).Uids().bytes();
  const std::string after = DicomWriter().Element(0x0010, 0x0020, "LO", "ab").bytes();
  ExpectVerdicts({
      {"implicit inside, explicit behind", Explicit(un + inner.bytes() + after), "good"},
      {"so in big endian", big + big_un + inner.bytes(), "good"},
      {"explicit inside", Explicit(un + wrong.bytes()), "truncated"},
      {"defined length: bytes", Explicit(DicomWriter().Element(0x0009, 0x1001, "UN", "anything")), "good"},
      {"an unknown VR likewise", Explicit(DicomWriter().Header(0x0009, 0x1001, "QQ", kUndefined).Raw(inner)), "good"},
  });
}

// PS3.5 A.4.
TEST(HeaderStructureTest, EncapsulatedPixelData) {
  const std::string native = DicomWriter().Element(0x7FE0, 0x0010, "OB", "pixels").bytes();
  DicomWriter icon, no_length;
  icon.Header(0x0088, 0x0200, "SQ", kUndefined).Item(kUndefined).Raw(native).EndItem().EndSequence();
  no_length.Header(0x7FE0, 0x0010, "OB", kUndefined).Item(kUndefined).EndSequence();
  ExpectVerdicts({
      {"two fragments", Jpeg(Fragments({"frag", "ment"})), "good"},
      {"no fragment", Jpeg(Fragments({})), "good"},
      {"an icon may be native", Jpeg(icon.bytes() + Fragments({"frag"})), "good"},
      {"none at all", Jpeg(""), "good"},
      {"no delimiter", Jpeg(Fragments({"frag"}, false)), "truncated"},
      {"a fragment is cut", Jpeg(Fragments({"fragment"}, false).substr(0, 25)), "truncated"},
      {"bytes between fragments", Jpeg(Fragments({"frag"}, false) + "garbage." + Fragments({})), "malformed"},
      {"a fragment of undefined length", Jpeg(no_length), "malformed"},
      {"native in an encapsulated syntax", Jpeg(native), "malformed"},
      {"encapsulated in a native syntax", Explicit(Fragments({"frag"})), "malformed"},
      {"encapsulated in implicit VR",
       Implicit(DicomWriter(Form::kImplicitLittle).Header(0x7FE0, 0x0010, "", kUndefined).Item(0).EndSequence()),
       "malformed"},
  });
}

// Implicit VR does not mark sequences. A value that only looks like a sequence is an ordinary value.
TEST(HeaderStructureTest, ImplicitValuesThatBeginLikeAnItem) {
  const auto value = [](std::string_view bytes) {
    return Implicit(
        DicomWriter(Form::kImplicitLittle).Element(0x0009, 0x1001, "", bytes).Element(0x0010, 0x0020, "", "ab"));
  };
  const auto item = [](std::uint32_t length) { return DicomWriter(Form::kImplicitLittle).Item(length); };
  ExpectVerdicts({
      {"one item", value(item(10).Element(0x0010, 0x0010, "", "ab")), "good"},
      {"encapsulated fragments", value(item(0).Item(4).Raw("frag").EndSequence()), "good"},
      {"explicit VR", value(item(10).Raw(DicomWriter().Element(0x0010, 0x0010, "PN", "ab"))), "good"},
      {"a Basic Offset Table and a fragment", value(item(4).Number(0, 4).Item(4).Raw("frag").EndSequence()), "good"},
      {"a Basic Offset Table alone", value(item(4).Number(0, 4)), "good"},
      {"noise", value(item(kUndefined).Raw("noise noise noise")), "good"},
      {"a delimiter, and noise", value(item(kUndefined).EndSequence().Raw("noise")), "good"},
      {"longer than the file", Implicit(DicomWriter(Form::kImplicitLittle).Header(0x0009, 0x1001, "", 100).Item(0)),
       "truncated"},
      {"longer than its value", value(item(1000).Header(0x0010, 0x0010, "", 900)), "malformed"},
  });
}

// ---- limits

std::string NestedUndefined(int depth) {
  DicomWriter out;
  for (int i = 0; i < depth; ++i) out.Header(0x0008, 0x1140, "SQ", kUndefined).Item(kUndefined);
  for (int i = 0; i < depth; ++i) out.EndItem().EndSequence();
  return out.bytes();
}

std::string NestedDefined(Form form, int depth) {
  const std::uint32_t header = form == Form::kImplicitLittle ? 8 : 12;
  DicomWriter out(form);
  for (int i = depth; i > 0; --i) {
    const std::uint32_t inside = static_cast<std::uint32_t>(i - 1) * (header + 8);
    out.Header(0x0008, 0x1140, "SQ", inside + 8).Item(inside);
  }
  return out.bytes();
}

TEST(HeaderStructureTest, NestingIsLimited) {
  ExpectVerdicts({
      {"the limit", Explicit(NestedUndefined(128)), "good"},
      {"one more", Explicit(NestedUndefined(129)), "malformed"},
      {"a bomb", Explicit(NestedUndefined(100000)), "malformed"},
      {"with defined lengths", Explicit(NestedDefined(Form::kExplicitLittle, 128)), "good"},
      {"one more", Explicit(NestedDefined(Form::kExplicitLittle, 129)), "malformed"},
      {"where no VR says what is a sequence", Implicit(NestedDefined(Form::kImplicitLittle, 128)), "good"},
      {"a bomb of them", Implicit(NestedDefined(Form::kImplicitLittle, 100000)), "malformed"},
  });
}

// DCMTK finds sequences through its dictionary and parses them recursively, so no dataset may nest deeper than this
// check has seen.
TEST(HeaderStructureTest, AFalseSequenceDoesNotHideNesting) {
  const auto implicit = [] { return DicomWriter(Form::kImplicitLittle); };
  const auto item = [&](std::string_view value) {
    return implicit().Item(static_cast<std::uint32_t>(value.size())).Raw(value).bytes();
  };
  const std::string none = implicit().Element(0x0009, 0x1001, "", item("no such thing...")).bytes();
  const std::string bomb = NestedDefined(Form::kImplicitLittle, 1000);
  // Each value ends, according to its length, while a sequence is still open. To a reader that skips the value, the
  // next one is not nested.
  DicomWriter open = implicit();
  for (int i = 0; i < 1000; ++i) open.Header(0x0008, 0x1140, "", 8).Item(kUndefined);
  std::string leads_out = none;
  for (int i = 0; i < 1000; ++i) {
    const std::string inner = implicit().Element(0x0008, 0x1140, "", item(leads_out)).bytes();
    leads_out = implicit().Header(0x0008, 0x1140, "", 24).Item(kUndefined).Raw(inner).bytes();
  }
  ExpectVerdicts({
      {"behind a value that is none", Implicit(implicit().Element(0x0008, 0x1140, "", item(none + bomb))),
       "malformed"},
      {"behind the end of what is open", Implicit(open), "malformed"},
      {"in an element that leads out", Implicit(leads_out), "malformed"},
  });
}

TEST(HeaderStructureTest, DeflatedDatasets) {
  const std::string dataset = DicomWriter().Uids().Element(0x7FE0, 0x0010, "OW", std::string(300000, 'x')).bytes();
  const std::string packed = Deflated(dataset), meta = MetaHeader(kDeflate);
  std::string damaged = packed;
  damaged[0] = static_cast<char>(0xFF);  // RFC 1951 3.2.3: an invalid block type
  ExpectVerdicts({
      {"A.5", meta + packed, "good"},
      {"A.5: padded to an even length", meta + packed + std::string(1, '\0'), "good"},
      {"the stream is cut", meta + packed.substr(0, packed.size() - 1), "truncated"},
      {"the dataset is cut", meta + Deflated(dataset.substr(0, dataset.size() - 1)), "truncated"},
      {"the stream is damaged", meta + damaged, "malformed"},
      {"it is not deflated", meta + dataset, "malformed"},
      {"the nesting bomb in it", meta + Deflated(DicomWriter().Uids().Raw(NestedUndefined(100000))), "malformed"},
      {"encapsulated in it", meta + Deflated(DicomWriter().Uids().Raw(Fragments({"frag"}))), "malformed"},
  });
  const auto result = ReadBytesAsFile(meta + packed);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->transfer_syntax_uid, kDeflate);
  EXPECT_EQ(result->dataset_offset, meta.size());
  EXPECT_EQ(result->sop_instance_uid, "1.2.3.4");
}

// zlib takes all of the input before it has given all of the output if the output buffer fills up in the last match.
TEST(HeaderStructureTest, ADeflatedDatasetMayEndAnywhereInABuffer) {
  const std::string meta = MetaHeader(kDeflate);
  for (std::size_t size = 65'400; size < 65'600; size += 2) {
    const auto dataset = DicomWriter().Uids().Element(0x7FE0, 0x0010, "OB", std::string(size, '\0'));
    EXPECT_EQ(Verdict(ReadBytesAsFile(meta + Deflated(dataset))), "good") << size;
  }
}

// One of the two streams has an odd length. A zero byte after the end of a stream pads it (PS3.5 A.5).
TEST(HeaderStructureTest, AllThreeDeflatedSyntaxesAreInflated) {
  const std::string packed = Deflated(DicomWriter().Uids());
  const std::string streams[] = {packed, packed + '\0'};
  for (const char* syntax : {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}) {
    for (const std::string& stream : streams) {
      const auto result = ReadBytesAsFile(MetaHeader(syntax) + stream);
      ASSERT_TRUE(result) << syntax << ": " << result.error().reason;
      EXPECT_EQ(result->transfer_syntax_uid, syntax);
      EXPECT_EQ(result->sop_instance_uid, "1.2.3.4");
      EXPECT_EQ(result->identity.size_bytes - result->dataset_offset, stream.size());
    }
    EXPECT_EQ(Verdict(ReadBytesAsFile(MetaHeader(syntax) + DicomWriter().Uids().bytes())), "malformed");
  }
}

}  // namespace
}  // namespace dicom_sender
