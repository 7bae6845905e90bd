#include "dicom/file/meta_header.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "dicom/byte_order.h"
#include "dicom/file/dataset_walk.h"
#include "dicom/file/encoding_guess.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kPreambleBytes = 128;
constexpr std::string_view kPrefix = "DICM";
constexpr std::uint16_t kMetaGroup = 0x0002;

tl::unexpected<HeaderError> Problem(HeaderProblem problem, std::string reason) {
  return tl::unexpected(HeaderError{problem, std::move(reason)});
}

class MetaParser {
 public:
  MetaParser(FileReader& reader, MetaHeader& meta) : reader_(reader), meta_(meta) {}

  using Done = tl::expected<void, HeaderError>;

  Done Recognize();
  Done TakeElements();

 private:
  bool IsElementNext(Encoding encoding);
  bool IsDatasetNext(Encoding meta_encoding);
  void NoteGroupLength(const ElementHeader& element, Encoding encoding);
  Done TakeElement(const ElementHeader& element);

  FileReader& reader_;
  MetaHeader& meta_;
  std::uint64_t declared_end_ = 0;  // according to the group length; 0 without one
};

// Without the prefix, the first element must look like the first one of a meta header or a dataset.
tl::expected<void, HeaderError> MetaParser::Recognize() {
  if (reader_.remaining() == 0) return Problem(HeaderProblem::kEmpty, "it is empty");
  const std::uint8_t* start = reader_.Peek(kPreambleBytes + kPrefix.size());
  if (reader_.failure()) return tl::unexpected(*reader_.failure());
  if (start != nullptr && std::memcmp(start + kPreambleBytes, kPrefix.data(), kPrefix.size()) == 0) {
    meta_.has_preamble = true;
    reader_.Skip(kPreambleBytes + kPrefix.size());
    return {};
  }
  const auto guess = GuessEncoding(reader_);
  if (!guess && reader_.failure()) return tl::unexpected(guess.error());
  const bool is_first_group = guess && guess->group >= kMetaGroup && guess->group <= 0x00FF && guess->group % 2 == 0;
  if (!is_first_group || !guess->fits || !guess->sure) {
    return Problem(HeaderProblem::kNotDicom, "it does not begin like a DICOM file or dataset");
  }
  return {};
}

// The meta header ends before the first element of another group.
tl::expected<void, HeaderError> MetaParser::TakeElements() {
  const auto guess = GuessEncoding(reader_);
  const Encoding encoding = guess ? guess->encoding : kExplicitLittleEncoding;
  for (std::uint64_t elements = 0; IsElementNext(encoding); ++elements) {
    meta_.has_elements = true;
    if (elements == kElementsMax) return Problem(HeaderProblem::kMalformed, "its meta header does not end");
    const auto element = PeekElementHeader(reader_, encoding);
    if (!element) return tl::unexpected(element.error());
    reader_.Skip(element->header_bytes);
    if (element->tag == Tag(kMetaGroup, 0x0000)) NoteGroupLength(*element, encoding);
    if (Done taken = TakeElement(*element); !taken) return taken;
  }
  if (reader_.failure()) return tl::unexpected(*reader_.failure());
  meta_.dataset_offset = reader_.position();
  if (reader_.remaining() == 0) return Problem(HeaderProblem::kTruncated, "it ends before the dataset");
  return {};
}

bool MetaParser::IsElementNext(Encoding encoding) {
  const std::uint8_t* group = reader_.Peek(2);
  return group != nullptr && GetU16({group, 2}, encoding.big_endian) == kMetaGroup && !IsDatasetNext(encoding);
}

// A dataset may begin with elements of group 0002. DCMTK relies on the group length to find the dataset. This reader
// does so only if the bytes there can be a dataset.
bool MetaParser::IsDatasetNext(Encoding meta_encoding) {
  const std::string& uid = meta_.transfer_syntax_uid;
  if (uid.empty()) return false;
  const auto next = GuessEncoding(reader_);
  if (!next) return false;
  if (next->encoding.implicit_vr && next->sure && !meta_encoding.implicit_vr) return true;
  if (reader_.position() != declared_end_) return false;
  const TransferSyntax* syntax = FindTransferSyntax(uid);
  return syntax == nullptr || syntax->deflated() || syntax->encoding == next->encoding;
}

void MetaParser::NoteGroupLength(const ElementHeader& element, Encoding encoding) {
  const std::uint8_t* value = element.length == 4 ? reader_.Peek(4) : nullptr;
  if (value != nullptr) declared_end_ = reader_.position() + 4 + GetU32({value, 4}, encoding.big_endian);
}

tl::expected<void, HeaderError> MetaParser::TakeElement(const ElementHeader& element) {
  if (element.length == kUndefinedLength) {
    return Problem(HeaderProblem::kMalformed, "its meta header has an element without a length");
  }
  std::string* uid = nullptr;
  if (element.tag == Tag(kMetaGroup, 0x0002)) uid = &meta_.sop_class_uid;
  if (element.tag == Tag(kMetaGroup, 0x0003)) uid = &meta_.sop_instance_uid;
  if (element.tag == Tag(kMetaGroup, 0x0010)) uid = &meta_.transfer_syntax_uid;
  if (uid == nullptr) {
    if (reader_.Skip(element.length)) return {};
    return tl::unexpected(EndsInside(reader_, "the meta header"));
  }
  auto value = TakeUid(reader_, element);
  if (value) *uid = std::move(*value);
  // Errors in the SOP UIDs do not matter, because those of the dataset count.
  const bool matters =
      uid == &meta_.transfer_syntax_uid || value || value.error().problem != HeaderProblem::kMalformed;
  if (!value && matters) return tl::unexpected(value.error());
  if (meta_.sop_class_uid == kMediaStorageDirectory) return Problem(HeaderProblem::kDicomDir, "a DICOMDIR");
  return {};
}

}  // namespace

tl::expected<void, HeaderError> ReadMetaHeader(FileReader& reader, MetaHeader& meta) {
  MetaParser parser(reader, meta);
  if (auto recognized = parser.Recognize(); !recognized) return recognized;
  return parser.TakeElements();
}

}  // namespace dicom_sender
