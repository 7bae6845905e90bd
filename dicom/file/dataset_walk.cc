#include "dicom/file/dataset_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string_view>

#include "dicom/byte_order.h"

namespace dicom_sender {
namespace {

constexpr std::uint32_t kItem = Tag(0xFFFE, 0xE000);
constexpr std::uint32_t kItemDelimitation = Tag(0xFFFE, 0xE00D);
constexpr std::uint32_t kSequenceDelimitation = Tag(0xFFFE, 0xE0DD);
constexpr std::uint32_t kSopClassUid = Tag(0x0008, 0x0016);
constexpr std::uint32_t kSopInstanceUid = Tag(0x0008, 0x0018);
constexpr std::uint32_t kAccessionNumber = Tag(0x0008, 0x0050);
constexpr std::uint32_t kStudyInstanceUid = Tag(0x0020, 0x000D);
constexpr std::uint32_t kDirectoryRecordSequence = Tag(0x0004, 0x1220);
constexpr std::uint32_t kPixelData = Tag(0x7FE0, 0x0010);

constexpr std::size_t kShortHeaderBytes = 8, kLongHeaderBytes = 12;  // PS3.5 7.1.2; implicit VR (7.1.3): 8
constexpr std::uint64_t kNoEnd = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kPaddedUidBytesMax = ByteReader::kPeekBytesMax;  // careless writers pad to fixed lengths

constexpr std::uint16_t Vr(char first, char second) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(first) << 8 | static_cast<unsigned char>(second));
}
constexpr std::uint16_t kSq = Vr('S', 'Q'), kUn = Vr('U', 'N'), kOb = Vr('O', 'B'), kOw = Vr('O', 'W');

// PS3.5 7.1.2: VRs with a length of 16 bits, and VRs with a length of 32 bits.
constexpr std::array kShortVrs = {Vr('A', 'E'), Vr('A', 'S'), Vr('A', 'T'), Vr('C', 'S'), Vr('D', 'A'), Vr('D', 'S'),
                                  Vr('D', 'T'), Vr('F', 'D'), Vr('F', 'L'), Vr('I', 'S'), Vr('L', 'O'), Vr('L', 'T'),
                                  Vr('P', 'N'), Vr('S', 'H'), Vr('S', 'L'), Vr('S', 'S'), Vr('S', 'T'), Vr('T', 'M'),
                                  Vr('U', 'I'), Vr('U', 'L'), Vr('U', 'S')};
constexpr std::array kLongVrs = {kOb,          Vr('O', 'D'), Vr('O', 'F'), Vr('O', 'L'), Vr('O', 'V'),
                                 kOw,          kSq,          Vr('S', 'V'), Vr('U', 'C'), kUn,
                                 Vr('U', 'R'), Vr('U', 'T'), Vr('U', 'V')};

bool IsShortVr(std::uint16_t vr) { return std::find(kShortVrs.begin(), kShortVrs.end(), vr) != kShortVrs.end(); }
bool IsLongVr(std::uint16_t vr) { return std::find(kLongVrs.begin(), kLongVrs.end(), vr) != kLongVrs.end(); }
bool IsUpperCase(std::uint8_t character) { return 'A' <= character && character <= 'Z'; }

// Unknown VRs are read as DCMTK does: two capital letters may be a future VR, which has a length of 32 bits; all
// others (NULs, "??") have occurred with 16 bits.
bool HasLongLength(std::uint16_t vr) {
  if (IsShortVr(vr)) return false;
  return IsUpperCase(static_cast<std::uint8_t>(vr >> 8)) && IsUpperCase(static_cast<std::uint8_t>(vr));
}

std::uint32_t GetTag(const std::uint8_t* bytes, bool big_endian) {
  return Tag(GetU16({bytes, 2}, big_endian), GetU16({bytes + 2, 2}, big_endian));
}

bool IsItemTag(std::uint32_t tag) { return tag == kItem || tag == kItemDelimitation || tag == kSequenceDelimitation; }

tl::unexpected<HeaderError> Malformed(std::string reason) {
  return tl::unexpected(HeaderError{HeaderProblem::kMalformed, std::move(reason)});
}

// One walk. The levels are the open containers: alternately a sequence and one of its items.
class Walk {
 public:
  Walk(ByteReader& reader, Encoding encoding, DatasetFacts& facts, WalkObserver* observer)
      : reader_(reader), encoding_(encoding), facts_(facts), observer_(observer) {}

  tl::expected<void, HeaderError> Run();

 private:
  using Kind = WalkObserver::Container;
  struct Level {
    Kind kind = Kind::kSequence;
    Encoding encoding;            // of its content
    std::uint64_t end = kNoEnd;   // the position after it, if its length is defined
    std::uint32_t tag = 0;        // of the sequence
    std::size_t guess_depth = 0;  // depth of the innermost guessed sequence, up to this level
  };
  using Done = tl::expected<void, HeaderError>;

  Encoding encoding() const { return depth_ == 0 ? encoding_ : levels_[depth_ - 1].encoding; }
  bool IsGuessing() const { return depth_ > 0 && levels_[depth_ - 1].guess_depth > 0; }
  std::uint64_t GuessEnd() const { return IsGuessing() ? levels_[levels_[depth_ - 1].guess_depth - 1].end : kNoEnd; }

  Done Step();
  Done TakeElement();
  Done EndGuess();
  Done LeaveGuess(const ElementHeader& header);
  Done TakeItem(const Level& sequence);
  Done TakeFragment();
  Done EnterValue(const ElementHeader& header);
  Done EnterUndefinedLength(const ElementHeader& header);
  Done SkipValue(const ElementHeader& header);
  Done TakeFact(const ElementHeader& header);
  void NoteAccessionNumber(const ElementHeader& header);
  Done TakeDelimiter(const ElementHeader& header);
  bool LooksLikeSequence(const ElementHeader& header);
  Done Push(Level level, const ElementHeader& header);
  void Pop();
  void TellValue(const ElementHeader& header);
  Done Contradiction(std::string reason);
  void CloseLevels();

  ByteReader& reader_;
  const Encoding encoding_;
  DatasetFacts& facts_;
  WalkObserver* const observer_;
  std::array<Level, 2 * kNestingMax> levels_;
  std::size_t depth_ = 0;
  std::uint64_t elements_ = 0;
};

Walk::Done Walk::Run() {
  for (;;) {
    CloseLevels();
    if (depth_ == 0 && reader_.Peek(1) == nullptr) break;
    if (++elements_ > kElementsMax) return Malformed(fmt::format("it has more than {} elements", kElementsMax));
    if (Done step = Step(); !step) return step;
  }
  if (reader_.failure()) return tl::unexpected(*reader_.failure());
  return {};
}

// Like DCMTK, lets an item that is longer than its sequence end at its own end.
void Walk::CloseLevels() {
  while (depth_ > 0 && reader_.position() >= levels_[depth_ - 1].end) Pop();
}

Walk::Done Walk::Step() {
  if (depth_ == 0) return TakeElement();
  if (GuessEnd() - reader_.position() < kShortHeaderBytes) return EndGuess();
  const Level& level = levels_[depth_ - 1];
  switch (level.kind) {
    case Kind::kSequence:
      return TakeItem(level);
    case Kind::kFragments:
      return TakeFragment();
    default:
      return TakeElement();
  }
}

Walk::Done Walk::TakeElement() {
  const auto header = PeekElementHeader(reader_, encoding());
  if (!header) return tl::unexpected(header.error());
  if (IsItemTag(header->tag)) return TakeDelimiter(*header);
  const std::uint64_t value_begin = reader_.position() + header->header_bytes;
  const std::uint64_t value_end = value_begin + (header->length == kUndefinedLength ? 0 : header->length);
  const std::uint64_t item_end = depth_ == 0 ? kNoEnd : levels_[depth_ - 1].end;
  if (!IsGuessing() && value_begin > item_end) {
    return Malformed(fmt::format("an item ends inside element {}", TagName(header->tag)));
  }
  if (value_begin <= item_end && value_end > item_end) {
    return Contradiction(fmt::format("element {} is longer than the item around it", TagName(header->tag)));
  }
  if (value_end > GuessEnd()) return LeaveGuess(*header);
  reader_.Skip(header->header_bytes);
  return depth_ == 0 ? TakeFact(*header) : EnterValue(*header);
}

// Handles a guessed value that has less than a header left while a container inside it is still open.
Walk::Done Walk::EndGuess() {
  if (reader_.position() == GuessEnd()) return Malformed("a sequence does not end within its value");
  const auto header = PeekElementHeader(reader_, encoding());
  if (header) return LeaveGuess(*header);
  return reader_.failure() ? tl::unexpected(header.error()) : Contradiction({});
}

// Handles an element that extends beyond the guessed value. If DCMTK's dictionary says that the value is a sequence,
// DCMTK continues inside it; otherwise it skips the value. If a sequence follows, its depth differs between the two
// readings, which could hide a nesting bomb.
Walk::Done Walk::LeaveGuess(const ElementHeader& header) {
  const std::uint8_t* bytes = reader_.Peek(header.header_bytes + kShortHeaderBytes);
  const bool is_item = bytes != nullptr && IsItemTag(GetTag(bytes + header.header_bytes, encoding().big_endian));
  if (!is_item && !IsItemTag(header.tag) && header.length != kUndefinedLength) return Contradiction({});
  return Malformed(fmt::format("element {} is longer than the sequence around it", TagName(header.tag)));
}

// Takes an item delimiter in the place of an element. Other delimiters are errors there.
Walk::Done Walk::TakeDelimiter(const ElementHeader& header) {
  if (depth_ == 0 || header.tag != kItemDelimitation) {
    return Contradiction(fmt::format("{} at byte {} is out of place", TagName(header.tag), reader_.position()));
  }
  reader_.Skip(header.header_bytes);
  Pop();
  return {};
}

Walk::Done Walk::TakeItem(const Level& sequence) {
  const Level outer = sequence;
  const auto header = PeekElementHeader(reader_, {.implicit_vr = true, .big_endian = outer.encoding.big_endian});
  if (!header) return tl::unexpected(header.error());
  if (header->tag == kSequenceDelimitation) {
    reader_.Skip(header->header_bytes);
    Pop();
    return {};
  }
  if (header->tag != kItem) {
    return Contradiction(fmt::format("sequence {} has {} at byte {} where an item must begin", TagName(outer.tag),
                                     TagName(header->tag), reader_.position()));
  }
  const std::uint64_t begin = reader_.position() + header->header_bytes;
  const bool has_end = header->length != kUndefinedLength;
  if (has_end && begin + header->length > GuessEnd()) {
    return Malformed(fmt::format("an item is longer than the sequence {} around it", TagName(outer.tag)));
  }
  reader_.Skip(header->header_bytes);
  return Push({.kind = Kind::kItem,
               .encoding = outer.encoding,
               .end = has_end ? begin + header->length : kNoEnd,
               .tag = outer.tag},
              *header);
}

// PS3.5 A.4: fragments are items that contain bytes, and their length is always defined.
Walk::Done Walk::TakeFragment() {
  const auto header = PeekElementHeader(reader_, {.implicit_vr = true, .big_endian = encoding().big_endian});
  if (!header) return tl::unexpected(header.error());
  if (header->tag == kSequenceDelimitation) {
    reader_.Skip(header->header_bytes);
    Pop();
    return {};
  }
  if (header->tag != kItem || header->length == kUndefinedLength) {
    return Malformed(fmt::format("no fragment of pixel data begins at byte {}", reader_.position()));
  }
  reader_.Skip(header->header_bytes);
  TellValue(*header);
  if (!reader_.Skip(header->length)) return tl::unexpected(EndsInside(reader_, "a fragment of pixel data"));
  return {};
}

// Collects facts from top-level elements. If an element occurs twice, the first one counts, as in DCMTK.
Walk::Done Walk::TakeFact(const ElementHeader& header) {
  std::string* uid = nullptr;
  switch (header.tag) {
    case kSopClassUid:
      uid = &facts_.sop_class_uid;
      break;
    case kSopInstanceUid:
      uid = &facts_.sop_instance_uid;
      break;
    case kStudyInstanceUid:
      uid = &facts_.study_instance_uid;
      break;
    case kAccessionNumber:
      NoteAccessionNumber(header);
      return EnterValue(header);
    case kDirectoryRecordSequence:
      return tl::unexpected(HeaderError{HeaderProblem::kDicomDir, "a DICOMDIR"});
    case kPixelData:
      facts_.pixel_data = header.length == kUndefinedLength ? PixelData::kEncapsulated : PixelData::kNative;
      return EnterValue(header);
    default:
      return EnterValue(header);
  }
  if (header.length == kUndefinedLength)
    return Malformed(fmt::format("the UID {} has no length", TagName(header.tag)));
  TellValue(header);
  auto value = TakeUid(reader_, header);
  if (!value) return tl::unexpected(value.error());
  if (uid->empty()) *uid = std::move(*value);
  return {};
}

// Keeps the printable part of a text that may be invalid. The caller then walks the value like any other.
void Walk::NoteAccessionNumber(const ElementHeader& header) {
  if (header.length == kUndefinedLength || !facts_.accession_number.empty()) return;
  const std::size_t count = std::min<std::size_t>(header.length, ByteReader::kPeekBytesMax);
  const std::uint8_t* bytes = reader_.Peek(count);
  if (bytes == nullptr) return;
  std::string_view text(reinterpret_cast<const char*>(bytes), count);
  constexpr std::string_view kPadding(" \0", 2);
  text.remove_prefix(std::min(text.find_first_not_of(kPadding), text.size()));
  text = text.substr(0, std::min(text.find_last_not_of(kPadding) + 1, kAccessionNumberBytesMax));
  std::transform(text.begin(), text.end(), std::back_inserter(facts_.accession_number),
                 [](char c) { return c < ' ' || c > '~' ? '?' : c; });
}

Walk::Done Walk::EnterValue(const ElementHeader& header) {
  if (header.length == kUndefinedLength) return EnterUndefinedLength(header);
  const std::uint64_t end = reader_.position() + header.length;
  Level sequence{.kind = Kind::kSequence, .encoding = encoding(), .end = end, .tag = header.tag};
  if (header.vr == kSq) return Push(sequence, header);
  if (!LooksLikeSequence(header)) return SkipValue(header);
  sequence.guess_depth = depth_ + 1;
  return Push(sequence, header);
}

// Implicit VR does not tell which elements are sequences, and this reader has no dictionary. It follows a value that
// begins like a sequence, so that nesting is limited. If the content contradicts the guess, it is an ordinary value.
bool Walk::LooksLikeSequence(const ElementHeader& header) {
  if (!encoding().implicit_vr || header.length < 8) return false;
  const std::uint8_t* first = reader_.Peek(8);
  return first != nullptr && GetTag(first, encoding().big_endian) == kItem;
}

Walk::Done Walk::EnterUndefinedLength(const ElementHeader& header) {
  Level level{.kind = Kind::kSequence, .encoding = encoding(), .end = kNoEnd, .tag = header.tag};
  if (IsGuessing() && header.tag == kPixelData) return Malformed("pixel data is encapsulated in implicit VR");
  if (header.tag == kPixelData && (encoding().implicit_vr || header.vr == kOb || header.vr == kOw)) {
    level.kind = Kind::kFragments;
    return Push(level, header);
  }
  if (encoding().implicit_vr || header.vr == kSq) return Push(level, header);
  const bool is_private = header.group() % 2 == 1;
  if (is_private && (header.vr == kOb || header.vr == kOw)) {
    level.kind = Kind::kFragments;
    return Push(level, header);
  }
  // PS3.5 6.2.2 note 4 (CP-246): this is a sequence with implicit VR little endian content, and so is an unknown VR.
  if (header.vr == kUn || !IsLongVr(header.vr)) {
    level.encoding = {.implicit_vr = true, .big_endian = false};
    return Push(level, header);
  }
  return Malformed(fmt::format("element {} must not have an undefined length", TagName(header.tag)));
}

Walk::Done Walk::SkipValue(const ElementHeader& header) {
  TellValue(header);
  if (reader_.Skip(header.length)) return {};
  return tl::unexpected(EndsInside(reader_, "element " + TagName(header.tag)));
}

Walk::Done Walk::Push(Level level, const ElementHeader& header) {
  if (depth_ == levels_.size()) return Malformed(fmt::format("sequences are nested more than {} deep", kNestingMax));
  if (level.guess_depth == 0 && depth_ > 0) level.guess_depth = levels_[depth_ - 1].guess_depth;
  if (observer_ != nullptr) observer_->OnOpen(level.kind, header, encoding(), reader_.position());
  levels_[depth_++] = level;
  return {};
}

void Walk::Pop() {
  --depth_;
  if (observer_ != nullptr) observer_->OnClose(reader_.position());
}

void Walk::TellValue(const ElementHeader& header) {
  if (observer_ != nullptr) observer_->OnValue(header, encoding(), reader_.position());
}

// Within a guess, a contradiction means that the value is not a sequence, so the rest of it is skipped. The walk has
// read nothing beyond the value, because it compares each length with the value's end.
Walk::Done Walk::Contradiction(std::string reason) {
  if (!IsGuessing()) return Malformed(std::move(reason));
  depth_ = levels_[depth_ - 1].guess_depth;
  const Level& guessed = levels_[--depth_];
  if (observer_ != nullptr) observer_->OnWrongGuess(depth_);
  if (reader_.Skip(guessed.end - reader_.position())) return {};
  return tl::unexpected(EndsInside(reader_, "element " + TagName(guessed.tag)));
}

}  // namespace

std::string TagName(std::uint32_t tag) { return fmt::format("({:04X},{:04X})", tag >> 16, tag & 0xFFFF); }

bool IsStandardVr(const std::uint8_t* characters) {
  const std::uint16_t vr = GetU16Big({characters, 2});
  return IsShortVr(vr) || IsLongVr(vr);
}

HeaderError EndsInside(const ByteReader& reader, const std::string& what) {
  if (reader.failure()) return *reader.failure();
  return {HeaderProblem::kTruncated, "it ends inside " + what};
}

tl::expected<ElementHeader, HeaderError> PeekElementHeader(ByteReader& reader, Encoding encoding) {
  const std::uint8_t* bytes = reader.Peek(kShortHeaderBytes);
  if (bytes == nullptr) return tl::unexpected(EndsInside(reader, "the header of an element"));
  ElementHeader header{
      .tag = GetTag(bytes, encoding.big_endian), .vr = 0, .length = 0, .header_bytes = kShortHeaderBytes};
  if (encoding.implicit_vr || IsItemTag(header.tag)) {
    header.length = GetU32({bytes + 4, 4}, encoding.big_endian);
    return header;
  }
  header.vr = GetU16Big({bytes + 4, 2});
  if (!HasLongLength(header.vr)) {
    header.length = GetU16({bytes + 6, 2}, encoding.big_endian);
    return header;
  }
  bytes = reader.Peek(kLongHeaderBytes);
  if (bytes == nullptr) return tl::unexpected(EndsInside(reader, "the header of element " + TagName(header.tag)));
  header.length = GetU32({bytes + 8, 4}, encoding.big_endian);
  header.header_bytes = kLongHeaderBytes;
  return header;
}

tl::expected<std::string, HeaderError> TakeUid(ByteReader& reader, const ElementHeader& header) {
  const std::string name = "the UID " + TagName(header.tag);
  const std::size_t count = std::min<std::size_t>(header.length, kPaddedUidBytesMax);
  const std::uint8_t* bytes = reader.Peek(count);
  if (bytes == nullptr) return tl::unexpected(EndsInside(reader, name));
  std::string uid(bytes, bytes + count);
  uid.erase(std::find_if(uid.rbegin(), uid.rend(), [](char c) { return c != '\0' && c != ' '; }).base(), uid.end());
  if (!reader.Skip(header.length)) return tl::unexpected(EndsInside(reader, name));
  if (uid.size() > kUidBytesMax || header.length > kPaddedUidBytesMax) {
    return Malformed(fmt::format("{} is longer than {} bytes", name, kUidBytesMax));
  }
  if (std::any_of(uid.begin(), uid.end(), [](char c) { return c < ' ' || c > '~'; })) {
    return Malformed(name + " has characters that are not allowed in a UID");
  }
  return uid;
}

tl::expected<void, HeaderError> WalkDataset(ByteReader& reader, Encoding encoding, DatasetFacts& facts,
                                            WalkObserver* observer) {
  return Walk(reader, encoding, facts, observer).Run();
}

}  // namespace dicom_sender
