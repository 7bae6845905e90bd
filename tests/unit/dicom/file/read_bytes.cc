#include "tests/unit/dicom/file/read_bytes.h"

#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {

tl::expected<FileHeader, HeaderError> ReadBytesAsFile(std::string_view bytes) {
  const TemporaryFolder folder;
  WriteFile(folder / "file", std::string(bytes));
  return ReadFileHeader(folder / "file");
}

const char* Name(HeaderProblem problem) {
  switch (problem) {
    case HeaderProblem::kUnreadable:
      return "unreadable";
    case HeaderProblem::kEmpty:
      return "empty";
    case HeaderProblem::kNotDicom:
      return "not DICOM";
    case HeaderProblem::kDicomDir:
      return "DICOMDIR";
    case HeaderProblem::kTruncated:
      return "truncated";
    case HeaderProblem::kMalformed:
      return "malformed";
  }
  return "?";
}

std::string Verdict(const tl::expected<FileHeader, HeaderError>& result) {
  return result ? "good" : Name(result.error().problem);
}

}  // namespace dicom_sender
