#include "dicom/file/even_lengths.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/read_at.h"
#include "dicom/byte_order.h"
#include "dicom/file/dataset_walk.h"
#include "dicom/file/encoding_guess.h"

namespace dicom_sender {
namespace {

constexpr std::uint32_t kItem = Tag(0xFFFE, 0xE000);
constexpr std::uint32_t kExtendedOffsetTable = Tag(0x7FE0, 0x0001);
constexpr std::uint32_t kPixelData = Tag(0x7FE0, 0x0010);
constexpr std::uint32_t kLongLengthMax = 0xFFFFFFFE;  // even; the next number means an undefined length
constexpr std::uint32_t kShortLengthMax = 0xFFFE;

// PS3.5 table 6.2-1. Values of other VRs are strings of bytes or of 16-bit words, which one more byte does not
// damage.
constexpr std::string_view kTextVrs = "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT";
constexpr std::string_view kNumberVrs = "AT FD FL OD OF OL OV SL SS SV UL US UV";

bool IsAmong(std::string_view vrs, std::string_view vr) {
  return vr.size() == 2 && vr.find(' ') == std::string_view::npos && vrs.find(vr) != std::string_view::npos;
}

Edit ReplaceNumber(std::uint64_t offset, std::uint8_t count, std::uint64_t number, bool big_endian) {
  Edit edit{.offset = offset, .replaced = count, .count = count};
  SetNumber(std::span(edit.storage).first(count), number, big_endian);
  return edit;
}

// The position of an element's length field.
struct LengthField {
  std::uint64_t offset = 0;
  std::uint8_t count = 4;
  bool big_endian = false;
};

LengthField LengthFieldOf(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset) {
  const bool is_short = !encoding.implicit_vr && header.tag != kItem && header.header_bytes == 8;
  const std::uint8_t count = is_short ? 2 : 4;
  return {.offset = value_offset - count, .count = count, .big_endian = encoding.big_endian};
}

// Offsets of the frames' first fragments, in ascending order, relative to the first fragment (PS3.5 A.4, PS3.3
// C.7.6.3.1.8). Entries are read one at a time, because a table may be long.
struct OffsetTable {
  std::uint64_t offset = 0;  // in the file
  std::uint64_t entries = 0;
  std::uint8_t entry_bytes = 4;
  std::uint64_t next = 0;                         // the entry whose fragment has not come yet
  std::optional<std::uint64_t> next_target = {};  // its value, once it was read
};

class Planner : public WalkObserver {
 public:
  Planner(int fd, const VrLookup& vr_of) : fd_(fd), vr_of_(vr_of), levels_(1) {}

  void OnValue(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset) override;
  void OnOpen(Container container, const ElementHeader& header, Encoding encoding,
              std::uint64_t value_offset) override;
  void OnClose(std::uint64_t end_offset) override;
  void OnWrongGuess(std::size_t depth) override;
  tl::expected<std::vector<Edit>, std::string> Finish();

 private:
  // The dataset, or a sequence, item or pixel data inside it.
  struct Level {
    ElementHeader header;  // its own; unused for the dataset
    Encoding encoding;     // of the header
    std::uint64_t value_offset = 0;
    bool is_fragments = false;
    std::uint64_t padding = 0;  // bytes that are added inside
    // The sizes when the level was opened.
    std::size_t edits_before = 0;
    bool had_failed = false;
    // The group length element (gggg,0000) of the current group, if there is one.
    std::uint16_t group = 0;
    std::uint64_t group_length_offset = 0;
    std::uint64_t padding_before_group = 0;
    bool group_is_big_endian = false;
    // The Extended Offset Table of an item or the dataset, for the pixel data that follows; or the tables of that
    // pixel data.
    std::optional<OffsetTable> extended_table = {}, basic_table = {};
    std::optional<std::uint64_t> first_fragment_offset = {};
  };

  void EnterElement(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset);
  void TakeValue(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset);
  void AdjustGroupLength(Level& level);
  void OnFragment(const ElementHeader& header, std::uint64_t value_offset);
  void AdjustEntry(std::optional<OffsetTable>& table, std::uint64_t target, std::uint64_t padding);
  void CheckComplete(const std::optional<OffsetTable>& table);
  void PadValue(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset);
  std::optional<std::uint8_t> PaddingFor(const ElementHeader& header, Encoding encoding) const;
  void ReplaceLength(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset,
                     std::uint64_t length);
  std::optional<std::uint64_t> ReadNumber(std::uint64_t offset, std::uint8_t count, bool big_endian);
  std::string NameOf(const ElementHeader& header) const;
  void Add(const Edit& edit);
  void Fail(std::string reason);

  const int fd_;
  const VrLookup& vr_of_;
  std::vector<Level> levels_;  // the dataset and the open containers inside it
  std::vector<Edit> edits_;
  std::optional<std::string> failure_;
};

void Planner::Fail(std::string reason) {
  if (!failure_) failure_ = std::move(reason);
}

void Planner::Add(const Edit& edit) {
  if (edits_.size() == kEditsMax) {
    return Fail(fmt::format("the dataset has too many odd lengths: more than {} changes are needed", kEditsMax));
  }
  edits_.push_back(edit);
}

// Names items and fragments by the sequence or pixel data that contains them.
std::string Planner::NameOf(const ElementHeader& header) const {
  if (header.tag != kItem) return "element " + TagName(header.tag);
  const bool is_fragment = levels_.back().is_fragments;
  return fmt::format("{} of element {}", is_fragment ? "a fragment" : "an item", TagName(levels_.back().header.tag));
}

void Planner::OnValue(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset) {
  if (levels_.back().is_fragments) {
    OnFragment(header, value_offset);
    if (header.length % 2 == 1) PadValue(header, encoding, value_offset);
  } else {
    EnterElement(header, encoding, value_offset);
    TakeValue(header, encoding, value_offset);
  }
}

void Planner::OnOpen(Container container, const ElementHeader& header, Encoding encoding,
                     std::uint64_t value_offset) {
  if (container != Container::kItem) EnterElement(header, encoding, value_offset);
  Level level{.header = header, .encoding = encoding, .value_offset = value_offset};
  level.is_fragments = container == Container::kFragments;
  level.edits_before = edits_.size();
  level.had_failed = failure_.has_value();
  if (level.is_fragments && header.tag == kPixelData) level.extended_table = levels_.back().extended_table;
  levels_.push_back(level);
}

void Planner::OnClose(std::uint64_t end_offset) {
  AdjustGroupLength(levels_.back());
  Level level = levels_.back();
  levels_.pop_back();
  levels_.back().padding += level.padding;
  if (level.is_fragments && level.padding > 0) {
    CheckComplete(level.basic_table);
    CheckComplete(level.extended_table);
  }
  const std::uint32_t length = level.header.length;
  if (length == kUndefinedLength || (level.padding == 0 && length % 2 == 0)) return;
  if (end_offset != level.value_offset + length) {
    return Fail(fmt::format("{}: a length in it is odd, and its own length is not that of its content",
                            NameOf(level.header)));
  }
  ReplaceLength(level.header, level.encoding, level.value_offset, length + level.padding);
}

void Planner::OnWrongGuess(std::size_t depth) {
  const Level level = levels_[depth + 1];
  levels_.resize(depth + 1);
  edits_.resize(level.edits_before);
  if (!level.had_failed) failure_.reset();
  TakeValue(level.header, level.encoding, level.value_offset);
}

void Planner::TakeValue(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset) {
  if (header.tag == kExtendedOffsetTable) {
    levels_.back().extended_table =
        OffsetTable{.offset = value_offset, .entries = header.length / 8, .entry_bytes = 8};
  }
  if (header.length % 2 == 1) PadValue(header, encoding, value_offset);
}

// Remembers the lengths and tables that the padding of later elements changes.
void Planner::EnterElement(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset) {
  Level& level = levels_.back();
  if (header.group() != level.group) {
    AdjustGroupLength(level);
    level.group = header.group();
    level.group_length_offset = 0;
  }
  if ((header.tag & 0xFFFF) == 0 && header.length == 4) {
    level.group_length_offset = value_offset;
    level.padding_before_group = level.padding;
    level.group_is_big_endian = encoding.big_endian;
  }
}

void Planner::AdjustGroupLength(Level& level) {
  if (level.group_length_offset == 0 || level.padding == level.padding_before_group) return;
  const auto length = ReadNumber(level.group_length_offset, 4, level.group_is_big_endian);
  if (!length) return;
  Add(ReplaceNumber(level.group_length_offset, 4, *length + level.padding - level.padding_before_group,
                    level.group_is_big_endian));
}

void Planner::OnFragment(const ElementHeader& header, std::uint64_t value_offset) {
  Level& level = levels_.back();
  if (!level.basic_table) {
    level.basic_table = OffsetTable{.offset = value_offset, .entries = header.length / 4, .entry_bytes = 4};
    if (header.length % 4 != 0) Fail("element (7FE0,0010): its Basic Offset Table ends inside an entry");
    return;
  }
  const std::uint64_t fragment_offset = value_offset - header.header_bytes;
  if (!level.first_fragment_offset) level.first_fragment_offset = fragment_offset;
  const std::uint64_t target = fragment_offset - *level.first_fragment_offset;
  AdjustEntry(level.basic_table, target, level.padding);
  AdjustEntry(level.extended_table, target, level.padding);
}

void Planner::AdjustEntry(std::optional<OffsetTable>& table, std::uint64_t target, std::uint64_t padding) {
  if (!table || table->next == table->entries) return;
  const std::uint64_t entry_offset = table->offset + table->next * table->entry_bytes;
  if (!table->next_target) table->next_target = ReadNumber(entry_offset, table->entry_bytes, false);
  if (table->next_target != target) return;
  ++table->next;
  table->next_target.reset();
  if (padding == 0) return;
  if (table->entry_bytes == 4 && target + padding > 0xFFFFFFFF) {
    return Fail("element (7FE0,0010): its padded fragments are too long for its Basic Offset Table");
  }
  Add(ReplaceNumber(entry_offset, table->entry_bytes, target + padding, false));
}

void Planner::CheckComplete(const std::optional<OffsetTable>& table) {
  if (!table || table->next == table->entries) return;
  Fail(fmt::format("element (7FE0,0010): it has fragments of odd length, and its {} Offset Table does not match them",
                   table->entry_bytes == 4 ? "Basic" : "Extended"));
}

void Planner::PadValue(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset) {
  const auto padding = PaddingFor(header, encoding);
  if (!padding) {
    return Fail(fmt::format("{}: its length of {} bytes is odd, and a number cannot be padded", NameOf(header),
                            header.length));
  }
  ReplaceLength(header, encoding, value_offset, std::uint64_t{header.length} + 1);
  Add({.offset = value_offset + header.length, .replaced = 0, .count = 1, .storage = {*padding}});
  ++levels_.back().padding;
}

// Returns nothing for numbers: a number that lacks bytes cannot be repaired.
std::optional<std::uint8_t> Planner::PaddingFor(const ElementHeader& header, Encoding encoding) const {
  if (header.tag == kItem) return std::uint8_t{0};
  const char characters[] = {static_cast<char>(header.vr >> 8), static_cast<char>(header.vr)};
  std::string_view vr(characters, sizeof(characters));
  if (encoding.implicit_vr) vr = vr_of_(header.group(), static_cast<std::uint16_t>(header.tag));
  if (IsAmong(kNumberVrs, vr)) return std::nullopt;
  return IsAmong(kTextVrs, vr) ? ' ' : std::uint8_t{0};
}

void Planner::ReplaceLength(const ElementHeader& header, Encoding encoding, std::uint64_t value_offset,
                            std::uint64_t length) {
  const LengthField field = LengthFieldOf(header, encoding, value_offset);
  if (length > (field.count == 2 ? kShortLengthMax : kLongLengthMax)) {
    return Fail(fmt::format("{}: its length is odd, and its header has no room for the even length of {} bytes",
                            NameOf(header), length));
  }
  Add(ReplaceNumber(field.offset, field.count, length, field.big_endian));
}

std::optional<std::uint64_t> Planner::ReadNumber(std::uint64_t offset, std::uint8_t count, bool big_endian) {
  std::array<std::uint8_t, 8> bytes{};
  const auto wanted = std::span(bytes).first(count);
  if (ReadAt(fd_, wanted, offset) == ssize_t{count}) return GetNumber(wanted, big_endian);
  Fail("the file became shorter while it was read, or cannot be read");
  return std::nullopt;
}

tl::expected<std::vector<Edit>, std::string> Planner::Finish() {
  AdjustGroupLength(levels_.back());
  if (failure_) return tl::unexpected(std::move(*failure_));
  std::sort(edits_.begin(), edits_.end(), [](const Edit& a, const Edit& b) { return a.offset < b.offset; });
  return std::move(edits_);
}

}  // namespace

tl::expected<std::vector<Edit>, std::string> PlanEvenLengths(int fd, std::uint64_t offset, std::uint64_t file_bytes,
                                                             std::string_view transfer_syntax_uid,
                                                             const VrLookup& vr_of) {
  FileReader reader(fd, file_bytes);
  reader.Skip(offset);
  Encoding encoding;
  if (const TransferSyntax* syntax = FindTransferSyntax(transfer_syntax_uid); syntax != nullptr) {
    encoding = syntax->encoding;
  } else {
    const auto guess = GuessEncoding(reader);
    if (!guess) return tl::unexpected(guess.error().reason);
    encoding = guess->encoding;
  }
  DatasetFacts facts;
  Planner planner(fd, vr_of);
  if (const auto walked = WalkDataset(reader, encoding, facts, &planner); !walked) {
    return tl::unexpected(walked.error().reason);
  }
  return planner.Finish();
}

}  // namespace dicom_sender
