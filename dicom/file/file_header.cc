#include "dicom/file/file_header.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/unique_fd.h"
#include "dicom/file/byte_reader.h"
#include "dicom/file/dataset_walk.h"
#include "dicom/file/encoding_guess.h"
#include "dicom/file/inflating_reader.h"
#include "dicom/file/meta_header.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {
namespace {

constexpr std::uint64_t kInflatedBytesMax = 4ULL << 30;

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

  // Fills the header, even if it returns an error: then with what was found so far.
  tl::expected<void, HeaderError> Parse();

 private:
  using Done = tl::expected<void, HeaderError>;

  Done ChooseEncoding();
  Done Walk();
  Done CheckPixelData() const;

  FileReader& reader_;
  FileHeader& header_;
  MetaHeader meta_;
  DatasetFacts facts_;
  Encoding encoding_;
};

tl::expected<void, HeaderError> HeaderParser::Parse() {
  Done done = ReadMetaHeader(reader_, meta_);
  header_.transfer_syntax_uid = meta_.transfer_syntax_uid;
  header_.dataset_offset = meta_.dataset_offset;
  if (done) done = ChooseEncoding();
  if (done) done = Walk();
  header_.sop_class_uid = std::move(facts_.sop_class_uid);
  header_.sop_instance_uid = std::move(facts_.sop_instance_uid);
  header_.study_instance_uid = std::move(facts_.study_instance_uid);
  header_.accession_number = std::move(facts_.accession_number);
  if (!done && header_.sop_class_uid.empty()) header_.sop_class_uid = std::move(meta_.sop_class_uid);
  if (!done && header_.sop_instance_uid.empty()) header_.sop_instance_uid = std::move(meta_.sop_instance_uid);
  return done;
}

// Trusts the first element of the dataset more than the meta header if the element's encoding is unambiguous.
tl::expected<void, HeaderError> HeaderParser::ChooseEncoding() {
  std::string& uid = header_.transfer_syntax_uid;
  const TransferSyntax* declared = FindTransferSyntax(uid);
  if (declared != nullptr && declared->deflated()) {
    encoding_ = declared->encoding;
    return {};
  }
  const auto guess = GuessEncoding(reader_);
  if (!guess) return tl::unexpected(guess.error());
  encoding_ = declared != nullptr && !guess->sure ? declared->encoding : guess->encoding;
  if (encoding_.implicit_vr && encoding_.big_endian) {
    return Problem(HeaderProblem::kMalformed, "no transfer syntax can be recognized in its first element");
  }
  const bool is_wrong = declared != nullptr && encoding_ != declared->encoding;
  if (is_wrong && !IsUncompressedSyntax(uid)) {
    return Problem(HeaderProblem::kMalformed,
                   fmt::format("its transfer syntax is {}, but the dataset is in {}", uid, Name(encoding_)));
  }
  if (is_wrong || uid.empty()) uid = UncompressedSyntax(encoding_);
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
  // Eight bytes that could begin a dataset in implicit VR are only weak evidence.
  const bool is_recognized =
      meta_.has_preamble || meta_.has_elements || !encoding_.implicit_vr || !facts_.sop_class_uid.empty();
  if (!is_recognized && IsBrokenDicom(done.error().problem)) {
    return Problem(HeaderProblem::kNotDicom, "it begins like a dataset, but is not one: " + done.error().reason);
  }
  return done;
}

tl::expected<void, HeaderError> HeaderParser::CheckPixelData() const {
  const std::string& uid = header_.transfer_syntax_uid;
  const TransferSyntax* syntax = FindTransferSyntax(uid);
  if (facts_.pixel_data == PixelData::kNone || syntax == nullptr || syntax->referenced()) return {};
  const bool is_encapsulated = facts_.pixel_data == PixelData::kEncapsulated;
  if (is_encapsulated == syntax->encapsulated()) return {};
  return Problem(HeaderProblem::kMalformed, fmt::format("its transfer syntax is {}, but its pixel data is {}", uid,
                                                        is_encapsulated ? "encapsulated" : "not encapsulated"));
}

std::string SystemReason(const char* what) { return fmt::format("{} failed: {}", what, std::strerror(errno)); }

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// Returns the identity of a regular file, and fails for anything else.
tl::expected<FileIdentity, HeaderError> Identify(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return Problem(HeaderProblem::kUnreadable, SystemReason("fstat"));
  if (!S_ISREG(status.st_mode)) {
    return Problem(HeaderProblem::kNotDicom, fmt::format("it is {}, not a file", KindOf(status.st_mode)));
  }
  return IdentityOf(status);
}

}  // namespace

FileIdentity IdentityOf(const struct stat& status) {
  return {.size_bytes = static_cast<std::uint64_t>(status.st_size),
          .mtime_ns = static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

bool IsBrokenDicom(HeaderProblem problem) {
  return problem == HeaderProblem::kTruncated || problem == HeaderProblem::kMalformed;
}

tl::expected<FileHeader, HeaderError> ReadFileHeader(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    // A socket or a loop of links cannot be a DICOM file. After any other error, the file may still be an instance.
    const bool is_no_file = errno == ENXIO || errno == ELOOP;
    return Problem(is_no_file ? HeaderProblem::kNotDicom : HeaderProblem::kUnreadable, SystemReason("opening"));
  }
  const auto identity = Identify(fd.get());
  if (!identity) return tl::unexpected(identity.error());
  FileHeader header;
  header.identity = *identity;
  FileReader reader(fd.get(), identity->size_bytes);
  auto parsed = HeaderParser(reader, header).Parse();
  // If the file has changed, the header may be partly old and partly new.
  if (const auto after = Identify(fd.get());
      after && *after != *identity && (parsed || IsBrokenDicom(parsed.error().problem))) {
    parsed = Problem(HeaderProblem::kTruncated, "the file changed while it was read");
  }
  if (parsed) return header;
  parsed.error().known = std::move(header);
  return tl::unexpected(std::move(parsed.error()));
}

}  // namespace dicom_sender
