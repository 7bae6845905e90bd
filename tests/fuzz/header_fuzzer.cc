// A file with random bytes must be refused with a reason or parsed within the limits, with the same result each time.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/unique_fd.h"
#include "dicom/file/file_header.h"

namespace {

using namespace dicom_sender;

void Require(bool holds) {
  if (!holds) std::abort();
}

void RequireUid(const std::string& uid) {
  Require(uid.size() <= kUidBytesMax);
  Require(std::all_of(uid.begin(), uid.end(), [](char c) { return ' ' <= c && c <= '~'; }));
}

void RequireSound(const FileHeader& header, std::size_t size) {
  RequireUid(header.sop_class_uid);
  RequireUid(header.sop_instance_uid);
  RequireUid(header.study_instance_uid);
  RequireUid(header.transfer_syntax_uid);
  Require(header.identity.size_bytes == size);
  Require(header.dataset_offset <= size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const UniqueFd file(memfd_create("header", MFD_CLOEXEC));
  Require(file.valid() && write(file.get(), data, size) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  const auto header = ReadFileHeader(path);
  RequireSound(header ? *header : header.error().known, size);
  if (header) Require(!header->transfer_syntax_uid.empty() && header->dataset_offset < size);
  if (!header) Require(!header.error().reason.empty() && header.error().problem != HeaderProblem::kUnreadable);
  const auto again = ReadFileHeader(path);
  Require(again.has_value() == header.has_value());
  return 0;
}
