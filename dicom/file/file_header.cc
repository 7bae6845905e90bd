#include "dicom/file/file_header.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "common/unique_fd.h"
#include "dicom/file/byte_reader.h"
#include "dicom/file/dataset_walk.h"
#include "dicom/file/encoding_guess.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kPreambleBytes = 128;
constexpr std::string_view kPrefix = "DICM";
constexpr std::uint64_t kInflatedBytesMax = 4ULL << 30;
constexpr std::uint16_t kMetaGroup = 0x0002;
constexpr std::string_view kMediaStorageDirectory = "1.2.840.10008.1.3.10";

const char* Name(Encoding encoding) {
  if (encoding.implicit_vr) return encoding.big_endian ? "implicit VR big endian" : "implicit VR little endian";
  return encoding.big_endian ? "explicit VR big endian" : "explicit VR little endian";
}

tl::unexpected<HeaderError> Problem(HeaderProblem problem, std::string reason) {
  return tl::unexpected(HeaderError{problem, std::move(reason)});
}

class HeaderParser {
 public:
  HeaderParser(FileReader& reader, FileHeader& header) : reader_(reader), header_(header) {}

  // Fills `header`; where an error is returned, with what was found.
  tl::expected<void, HeaderError> Parse();

 private:
  using Done = tl::expected<void, HeaderError>;

  Done Recognise();
  Done TakeMeta();
  bool IsMetaNext(Encoding encoding);
  bool IsDatasetNext(Encoding meta_encoding);
  void NoteGroupLength(const ElementHeader& element, Encoding encoding);
  Done TakeMetaElement(const ElementHeader& element);
  Done ChooseEncoding();
  Done Walk();
  Done CheckPixelData() const;

  FileReader& reader_;
  FileHeader& header_;
  DatasetFacts meta_facts_, facts_;  // of meta_facts_ only the SOP UIDs
  Encoding encoding_;
  std::uint64_t meta_end_ = 0;  // as the meta header's group length says it; 0 without one
  bool has_preamble_ = false;
  bool has_meta_ = false;
};

tl::expected<void, HeaderError> HeaderParser::Parse() {
  Done done = Recognise();
  if (done) done = TakeMeta();
  if (done) done = ChooseEncoding();
  if (done) done = Walk();
  header_.sop_class_uid = std::move(facts_.sop_class_uid);
  header_.sop_instance_uid = std::move(facts_.sop_instance_uid);
  header_.study_instance_uid = std::move(facts_.study_instance_uid);
  header_.accession_number = std::move(facts_.accession_number);
  if (!done && header_.sop_class_uid.empty()) header_.sop_class_uid = std::move(meta_facts_.sop_class_uid);
  if (!done && header_.sop_instance_uid.empty()) header_.sop_instance_uid = std::move(meta_facts_.sop_instance_uid);
  return done;
}

// PS3.10 7.1. Without the prefix the first element must look like one that could be the first of a meta header or a
// dataset.
tl::expected<void, HeaderError> HeaderParser::Recognise() {
  if (reader_.remaining() == 0) return Problem(HeaderProblem::kEmpty, "it is empty");
  const std::uint8_t* start = reader_.Peek(kPreambleBytes + kPrefix.size());
  if (reader_.failure()) return tl::unexpected(*reader_.failure());
  if (start != nullptr && std::memcmp(start + kPreambleBytes, kPrefix.data(), kPrefix.size()) == 0) {
    has_preamble_ = true;
    reader_.Skip(kPreambleBytes + kPrefix.size());
    return {};
  }
  const auto guess = GuessEncoding(reader_);
  if (!guess && reader_.failure()) return tl::unexpected(guess.error());
  const bool is_first_group = guess && guess->group >= kMetaGroup && guess->group <= 0x00FF && guess->group % 2 == 0;
  if (!is_first_group || !guess->fits || !guess->sure) {
    return Problem(HeaderProblem::kNotDicom, "it does not begin as a DICOM file or dataset does");
  }
  return {};
}

// Goes by the group of each element, because the group length is wrong or missing in many files.
tl::expected<void, HeaderError> HeaderParser::TakeMeta() {
  const auto guess = GuessEncoding(reader_);
  const Encoding encoding = guess ? guess->encoding : kExplicitLittleEncoding;
  for (std::uint64_t elements = 0; IsMetaNext(encoding); ++elements) {
    has_meta_ = true;
    if (elements == kElementsMax) return Problem(HeaderProblem::kMalformed, "its meta header does not end");
    const auto element = PeekElementHeader(reader_, encoding);
    if (!element) return tl::unexpected(element.error());
    reader_.Skip(element->header_bytes);
    if (element->tag == Tag(kMetaGroup, 0x0000)) NoteGroupLength(*element, encoding);
    if (Done taken = TakeMetaElement(*element); !taken) return taken;
  }
  if (reader_.failure()) return tl::unexpected(*reader_.failure());
  header_.dataset_offset = reader_.position();
  if (reader_.remaining() == 0) return Problem(HeaderProblem::kTruncated, "it ends before the dataset");
  return {};
}

bool HeaderParser::IsMetaNext(Encoding encoding) {
  const std::uint8_t* group = reader_.Peek(2);
  return group != nullptr && group[encoding.big_endian ? 1 : 0] == kMetaGroup &&
         group[encoding.big_endian ? 0 : 1] == 0 && !IsDatasetNext(encoding);
}

// A dataset may begin with elements of group 0002, which DCMTK tells apart by the group length. That is believed only
// where what follows can be the dataset.
bool HeaderParser::IsDatasetNext(Encoding meta_encoding) {
  const std::string& uid = header_.transfer_syntax_uid;
  if (uid.empty()) return false;
  const auto next = GuessEncoding(reader_);
  if (!next) return false;
  if (next->encoding.implicit_vr && next->sure && !meta_encoding.implicit_vr) return true;
  if (reader_.position() != meta_end_) return false;
  return IsDeflatedSyntax(uid) || !IsStandardSyntax(uid) || EncodingOf(uid) == next->encoding;
}

void HeaderParser::NoteGroupLength(const ElementHeader& element, Encoding encoding) {
  const std::uint8_t* value = element.length == 4 ? reader_.Peek(4) : nullptr;
  if (value != nullptr) meta_end_ = reader_.position() + 4 + GetU32(value, encoding.big_endian);
}

tl::expected<void, HeaderError> HeaderParser::TakeMetaElement(const ElementHeader& element) {
  if (element.length == kUndefinedLength) {
    return Problem(HeaderProblem::kMalformed, "its meta header has an element without a length");
  }
  std::string* uid = nullptr;
  if (element.tag == Tag(kMetaGroup, 0x0002)) uid = &meta_facts_.sop_class_uid;
  if (element.tag == Tag(kMetaGroup, 0x0003)) uid = &meta_facts_.sop_instance_uid;
  if (element.tag == Tag(kMetaGroup, 0x0010)) uid = &header_.transfer_syntax_uid;
  if (uid == nullptr) {
    if (reader_.Skip(element.length)) return {};
    return tl::unexpected(EndsInside(reader_, "the meta header"));
  }
  auto value = TakeUid(reader_, element);
  if (value) *uid = std::move(*value);
  // The SOP UIDs of the dataset count, whatever these are.
  const bool matters =
      uid == &header_.transfer_syntax_uid || value || value.error().problem != HeaderProblem::kMalformed;
  if (!value && matters) return tl::unexpected(value.error());
  if (meta_facts_.sop_class_uid == kMediaStorageDirectory) return Problem(HeaderProblem::kDicomDir, "a DICOMDIR");
  return {};
}

// What the first element of the dataset shows is believed more than the meta header, where it is sure.
tl::expected<void, HeaderError> HeaderParser::ChooseEncoding() {
  std::string& uid = header_.transfer_syntax_uid;
  if (IsDeflatedSyntax(uid)) {
    encoding_ = kExplicitLittleEncoding;
    return {};
  }
  const auto guess = GuessEncoding(reader_);
  if (!guess) return tl::unexpected(guess.error());
  encoding_ = IsStandardSyntax(uid) && !guess->sure ? EncodingOf(uid) : guess->encoding;
  if (encoding_.implicit_vr && encoding_.big_endian) {
    return Problem(HeaderProblem::kMalformed, "no transfer syntax can be recognised in its first element");
  }
  if (uid.empty() || (IsUncompressedSyntax(uid) && encoding_ != EncodingOf(uid))) uid = UncompressedSyntax(encoding_);
  if (IsStandardSyntax(uid) && encoding_ != EncodingOf(uid)) {
    return Problem(HeaderProblem::kMalformed,
                   fmt::format("its transfer syntax is {}, but the dataset is in {}", uid, Name(encoding_)));
  }
  return {};
}

tl::expected<void, HeaderError> HeaderParser::Walk() {
  Done done;
  if (IsDeflatedSyntax(header_.transfer_syntax_uid)) {
    InflatingReader inflated(reader_, kInflatedBytesMax);
    done = WalkDataset(inflated, encoding_, facts_);
  } else {
    done = WalkDataset(reader_, encoding_, facts_);
  }
  if (facts_.sop_class_uid == kMediaStorageDirectory) return Problem(HeaderProblem::kDicomDir, "a DICOMDIR");
  if (done) return CheckPixelData();
  // Eight bytes that could begin a dataset in implicit VR are weak evidence.
  const bool is_recognised = has_preamble_ || has_meta_ || !encoding_.implicit_vr || !facts_.sop_class_uid.empty();
  if (!is_recognised && IsBrokenDicom(done.error().problem)) {
    return Problem(HeaderProblem::kNotDicom, "it begins as a dataset could, but is none: " + done.error().reason);
  }
  return done;
}

tl::expected<void, HeaderError> HeaderParser::CheckPixelData() const {
  const std::string& uid = header_.transfer_syntax_uid;
  if (facts_.pixel_data == PixelData::kNone || !IsStandardSyntax(uid) || IsReferencedSyntax(uid)) return {};
  const bool is_native = facts_.pixel_data == PixelData::kNative;
  if (is_native == (IsUncompressedSyntax(uid) || IsDeflatedSyntax(uid))) return {};
  return Problem(HeaderProblem::kMalformed, fmt::format("its transfer syntax is {}, but its pixel data is {}", uid,
                                                        is_native ? "not encapsulated" : "encapsulated"));
}

FileIdentity IdentityOf(const struct stat& status) {
  return {.size_bytes = static_cast<std::uint64_t>(status.st_size),
          .mtime_ns = static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::string SystemReason(const char* what) { return fmt::format("{} failed: {}", what, std::strerror(errno)); }

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// The identity of a regular file.
tl::expected<FileIdentity, HeaderError> Identify(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return Problem(HeaderProblem::kUnreadable, SystemReason("fstat"));
  if (!S_ISREG(status.st_mode)) {
    return Problem(HeaderProblem::kNotDicom, fmt::format("it is {}, not a file", KindOf(status.st_mode)));
  }
  return IdentityOf(status);
}

}  // namespace

bool IsBrokenDicom(HeaderProblem problem) {
  return problem == HeaderProblem::kTruncated || problem == HeaderProblem::kMalformed;
}

tl::expected<FileHeader, HeaderError> ReadFileHeader(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    // A socket cannot be opened at all, and a loop of links leads to nothing; whatever else fails may hide an
    // instance.
    const bool is_no_file = errno == ENXIO || errno == ELOOP;
    return Problem(is_no_file ? HeaderProblem::kNotDicom : HeaderProblem::kUnreadable, SystemReason("opening"));
  }
  const auto identity = Identify(fd.get());
  if (!identity) return tl::unexpected(identity.error());
  FileHeader header;
  header.identity = *identity;
  FileReader reader(fd.get(), identity->size_bytes);
  auto parsed = HeaderParser(reader, header).Parse();
  // What was read may be half old and half new.
  if (const auto after = Identify(fd.get());
      after && *after != *identity && (parsed || IsBrokenDicom(parsed.error().problem))) {
    parsed = Problem(HeaderProblem::kTruncated, "the file changed while it was read");
  }
  if (parsed) return header;
  parsed.error().known = std::move(header);
  return tl::unexpected(std::move(parsed.error()));
}

}  // namespace dicom_sender
