// Which bytes are inserted and changed to give every value an even length, and which datasets cannot be padded.
#include "dicom/file/even_lengths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/unique_fd.h"
#include "tests/support/dicom_writer.h"
#include "tests/unit/dicom/file/read_bytes.h"

namespace dicom_sender {
namespace {

using Form = DicomWriter::Form;
using testing::HasSubstr;

constexpr std::string_view kPrivateSyntax = "1.2.840.113619.5.2", kRle = "1.2.840.10008.1.2.5";

std::string_view VrOf(std::uint16_t group, std::uint16_t element) {
  if (group == 0x0010) return "LO";
  return group == 0x0028 && element == 0x0010 ? "US" : "";
}

std::string_view SyntaxOf(Form form) {
  if (form == Form::kImplicitLittle) return kImplicit;
  return form == Form::kExplicitBig ? kBigEndian : kExplicit;
}

// Returns the dataset with even lengths, or the reason why it cannot be padded. Other bytes precede it, as in a file.
std::string Evened(std::string_view dataset, std::string_view syntax = kExplicit) {
  constexpr std::string_view kBefore = "meta header";
  const UniqueFd file(memfd_create("dataset", MFD_CLOEXEC));
  std::string bytes = std::string(kBefore).append(dataset);
  EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  const auto edits = PlanEvenLengths(file.get(), kBefore.size(), bytes.size(), syntax, VrOf);
  if (!edits) return edits.error();
  for (auto edit = edits->rbegin(); edit != edits->rend(); ++edit) {
    bytes.replace(edit->offset, edit->replaced, reinterpret_cast<const char*>(edit->bytes().data()), edit->count);
  }
  return bytes.substr(kBefore.size());
}

std::string Nul(std::string_view text) { return std::string(text) + '\0'; }

TEST(EvenLengthsTest, EvenDatasetsAreNotChanged) {
  for (const Form form : {Form::kImplicitLittle, Form::kExplicitLittle, Form::kExplicitBig}) {
    const std::string dataset = DicomWriter(form)
                                    .Uids()
                                    .Header(0x0040, 0x0275, "SQ", 20)
                                    .Item(12)
                                    .Header(0x0028, 0x0010, "US", 4)
                                    .Raw("1234")
                                    .Element(0x7FE0, 0x0010, "OW", "pixels")
                                    .bytes();
    EXPECT_EQ(Evened(dataset, SyntaxOf(form)), dataset);
  }
}

// PS3.5 6.2.
TEST(EvenLengthsTest, TextIsPaddedWithASpaceAndEverythingElseWithAZero) {
  for (const Form form : {Form::kExplicitLittle, Form::kExplicitBig}) {
    for (const char* vr :
         {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"}) {
      EXPECT_EQ(Evened(DicomWriter(form).Element(0x0009, 0x1001, vr, "abc"), SyntaxOf(form)),
                DicomWriter(form).Element(0x0009, 0x1001, vr, "abc ").bytes())
          << vr;
    }
    for (const char* vr : {"UI", "OB", "OW", "UN", "QQ", "??"}) {
      EXPECT_EQ(Evened(DicomWriter(form).Element(0x0009, 0x1001, vr, "1.2.3"), SyntaxOf(form)),
                DicomWriter(form).Element(0x0009, 0x1001, vr, Nul("1.2.3")).bytes())
          << vr;
    }
  }
}

TEST(EvenLengthsTest, ImplicitVrLooksUpTheVr) {
  const auto dataset = [](std::string_view name, std::string_view other) {
    return DicomWriter(Form::kImplicitLittle)
        .Element(0x0009, 0x1001, "", other)
        .Element(0x0010, 0x0010, "", name)
        .Element(0x7FE0, 0x0010, "", other)
        .bytes();
  };
  for (const std::string_view syntax : {kImplicit, kPrivateSyntax}) {
    EXPECT_EQ(Evened(dataset("Doe", "12345"), syntax), dataset("Doe ", Nul("12345")));
  }
}

// The SOP UIDs are read differently from other values.
TEST(EvenLengthsTest, TheIdentifiersArePaddedToo) {
  EXPECT_EQ(Evened(DicomWriter().Element(0x0008, 0x0018, "UI", "1.2").Element(0x0008, 0x0050, "SH", "A")),
            DicomWriter().Element(0x0008, 0x0018, "UI", Nul("1.2")).Element(0x0008, 0x0050, "SH", "A ").bytes());
}

// Returns a sequence in an item of a sequence, with the lengths that result from two short values.
std::string Nested(Form form, std::string_view value, bool defined) {
  const auto length = [defined](std::size_t bytes) {
    return defined ? static_cast<std::uint32_t>(bytes) : kUndefined;
  };
  const std::string leaf = DicomWriter(form).Element(0x0010, 0x0020, "LO", value).bytes();
  DicomWriter inner(form);
  inner.Item(length(2 * leaf.size())).Raw(leaf).Raw(leaf);
  if (!defined) inner.EndItem();
  DicomWriter outer(form);
  outer.Header(0x0040, 0x0275, "SQ", length(inner.bytes().size())).Raw(inner);
  if (!defined) outer.EndSequence();
  outer.Raw(leaf);
  DicomWriter items(form);
  items.Item(length(outer.bytes().size())).Raw(outer);
  if (!defined) items.EndItem();
  items.Item(0);
  DicomWriter dataset(form);
  dataset.Header(0x0040, 0xA730, "SQ", length(items.bytes().size())).Raw(items);
  if (!defined) dataset.EndSequence();
  return dataset.Element(0x0010, 0x0010, "LO", value).bytes();
}

TEST(EvenLengthsTest, TheLengthsAroundAPaddedValueGrow) {
  for (const Form form : {Form::kImplicitLittle, Form::kExplicitLittle, Form::kExplicitBig}) {
    for (const bool defined : {true, false}) {
      EXPECT_EQ(Evened(Nested(form, "a", defined), SyntaxOf(form)), Nested(form, "a ", defined));
    }
  }
}

// PS3.5 6.2.2 note 4: its content is implicit VR little endian in any transfer syntax.
TEST(EvenLengthsTest, AnUnknownVrOfUndefinedLengthIsASequence) {
  const auto dataset = [](std::string_view value) {
    return DicomWriter()
        .Header(0x0009, 0x1001, "UN", kUndefined)
        .Item(static_cast<std::uint32_t>(8 + value.size()))
        .Raw(DicomWriter(Form::kImplicitLittle).Element(0x0010, 0x0010, "", value))
        .EndSequence()
        .bytes();
  };
  EXPECT_EQ(Evened(dataset("Doe")), dataset("Doe "));
}

// In implicit VR, a value that begins like an item may not be a sequence. Then its content must not be changed.
TEST(EvenLengthsTest, AFalseSequenceIsAnOrdinaryValue) {
  const std::string value = DicomWriter(Form::kImplicitLittle)
                                .Item(18)
                                .Element(0x0010, 0x0010, "", "a")
                                .Element(0x0028, 0x0010, "", "a")
                                .Raw("no other item")
                                .bytes();
  const auto dataset = [](std::string_view blob, std::string_view name) {
    return DicomWriter(Form::kImplicitLittle)
        .Element(0x0009, 0x1001, "", blob)
        .Element(0x0010, 0x0010, "", name)
        .bytes();
  };
  ASSERT_EQ(value.size() % 2, 1U);
  EXPECT_EQ(Evened(dataset(value, "Doe"), kImplicit), dataset(Nul(value), "Doe "));
  EXPECT_EQ(Evened(dataset(value + '!', "Doe"), kImplicit), dataset(value + '!', "Doe "));
}

// PS3.5 7.2.
TEST(EvenLengthsTest, GroupLengthsGrow) {
  const auto group = [](Form form, std::string_view value, std::uint32_t length) {
    return DicomWriter(form)
        .Header(0x0009, 0x0000, "UL", 4)
        .Number(length, 4)
        .Element(0x0009, 0x1001, "LO", value)
        .Element(0x0009, 0x1002, "LO", value)
        .bytes();
  };
  const auto dataset = [&](Form form, std::string_view value, std::uint32_t padding) {
    return DicomWriter(form)
        .Element(0x0008, 0x0050, "SH", value)
        .Raw(group(form, value, 18 + 2 * padding))
        .Header(0x0010, 0x0000, "UL", 4)
        .Number(12, 4)
        .Element(0x0010, 0x0010, "LO", "even")
        .Header(0x0040, 0x0275, "SQ", 46 + 2 * padding)
        .Item(38 + 2 * padding)
        .Raw(group(form, value, 18 + 2 * padding))
        .Element(0x0010, 0x0010, "LO", "")
        .bytes();
  };
  for (const Form form : {Form::kExplicitLittle, Form::kExplicitBig}) {
    EXPECT_EQ(Evened(dataset(form, "a", 0), SyntaxOf(form)), dataset(form, "a ", 1));
  }
}

std::string Table(std::initializer_list<std::uint32_t> entries, int entry_bytes = 4) {
  DicomWriter table;
  for (const std::uint32_t entry : entries) {
    table.Number(entry, 4);
    if (entry_bytes == 8) table.Number(0, 4);
  }
  return table.bytes();
}

std::string Encapsulated(std::string_view table, const std::vector<std::string>& fragments,
                         std::string_view extended_table = "") {
  DicomWriter dataset;
  if (!extended_table.empty()) dataset.Element(0x7FE0, 0x0001, "OV", extended_table);
  dataset.Header(0x7FE0, 0x0010, "OB", kUndefined).Item(static_cast<std::uint32_t>(table.size())).Raw(table);
  for (const auto& fragment : fragments) dataset.Item(static_cast<std::uint32_t>(fragment.size())).Raw(fragment);
  return dataset.EndSequence().bytes();
}

// PS3.5 A.4: offsets include the item headers. A frame may have several fragments.
TEST(EvenLengthsTest, OffsetTablesFollowTheFragments) {
  const std::vector<std::string> odd = {"a", "bc", "def", "g"}, even = {Nul("a"), "bc", Nul("def"), Nul("g")};
  EXPECT_EQ(Evened(Encapsulated("", odd), kRle), Encapsulated("", even));
  EXPECT_EQ(Evened(Encapsulated(Table({0, 9, 19, 30}), odd), kRle), Encapsulated(Table({0, 10, 20, 32}), even));
  EXPECT_EQ(Evened(Encapsulated(Table({0, 19}), odd), kRle), Encapsulated(Table({0, 20}), even));
  EXPECT_EQ(Evened(Encapsulated("", odd, Table({0, 9, 19, 30}, 8)), kRle),
            Encapsulated("", even, Table({0, 10, 20, 32}, 8)));
}

TEST(EvenLengthsTest, PixelDataInAnItemHasItsOwnOffsetTable) {
  const auto dataset = [](const std::string& icon) {
    return DicomWriter()
        .Header(0x0088, 0x0200, "SQ", static_cast<std::uint32_t>(8 + icon.size()))
        .Item(static_cast<std::uint32_t>(icon.size()))
        .Raw(icon)
        .Raw(Encapsulated(Table({0, 12}), {"even", "even"}))
        .bytes();
  };
  EXPECT_EQ(Evened(dataset(Encapsulated(Table({0, 9}), {"a", "b"})), kRle),
            dataset(Encapsulated(Table({0, 10}), {Nul("a"), Nul("b")})));
}

TEST(EvenLengthsTest, AnOffsetTableThatContradictsTheFragmentsIsNamed) {
  const std::string basic =
      "element (7FE0,0010): it has fragments of odd length, and its Basic Offset Table does not match them";
  EXPECT_EQ(Evened(Encapsulated(Table({0, 10}), {"a", "b"}), kRle), basic);
  EXPECT_EQ(Evened(Encapsulated(Table({0, 9, 18}), {"a", "b"}), kRle), basic);
  EXPECT_EQ(Evened(Encapsulated("", {"a", "b"}, Table({0, 10}, 8)), kRle),
            "element (7FE0,0010): it has fragments of odd length, and its Extended Offset Table does not match them");
  EXPECT_EQ(Evened(Encapsulated("abc", {"a"}), kRle),
            "element (7FE0,0010): its Basic Offset Table ends inside an entry");
  const std::string even = Encapsulated(Table({0, 99}), {"ab", "cd"});
  EXPECT_EQ(Evened(even, kRle), even) << "no repair was requested";
}

TEST(EvenLengthsTest, AnElementThatCannotBePaddedIsNamed) {
  for (const char* vr : {"AT", "FD", "FL", "OD", "OF", "OL", "OV", "SL", "SS", "SV", "UL", "US", "UV"}) {
    EXPECT_EQ(Evened(DicomWriter().Element(0x0028, 0x0010, vr, "abc")),
              "element (0028,0010): its length of 3 bytes is odd, and a number cannot be padded")
        << vr;
  }
  EXPECT_EQ(Evened(DicomWriter(Form::kImplicitLittle).Element(0x0028, 0x0010, "", "a"), kImplicit),
            "element (0028,0010): its length of 1 bytes is odd, and a number cannot be padded");
  EXPECT_EQ(Evened(DicomWriter().Element(0x0009, 0x1001, "LT", std::string(0xFFFF, 'a'))),
            "element (0009,1001): its length is odd, and its header has no room for the even length of 65536 bytes");
  // The item claims to extend beyond its sequence.
  EXPECT_THAT(Evened(DicomWriter()
                         .Header(0x0040, 0x0275, "SQ", 15)
                         .Item(9)
                         .Element(0x0009, 0x1001, "LO", "a")
                         .Element(0x0010, 0x0010, "LO", "even")),
              HasSubstr("element (0040,0275): a length in it is odd, and its own length is not that of its content"));
  EXPECT_THAT(Evened(DicomWriter().Header(0x0009, 0x1001, "LO", 9).Raw("abc")), HasSubstr("it ends inside"));
}

}  // namespace
}  // namespace dicom_sender
