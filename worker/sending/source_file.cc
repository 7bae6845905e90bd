#include "worker/sending/source_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/text.h"
#include "dicom/file/file_header.h"

namespace dicom_sender {
namespace {

constexpr std::uint64_t kReadAheadBytes = 4 << 20;

// Checks that the file's folder exists and is not empty. The error says what is wrong with the folder.
tl::expected<void, std::string> CheckFolderOf(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  const bool empty = std::filesystem::is_empty(folder, error);
  if (error) return tl::unexpected(fmt::format("the folder {}: {}", ToPrintable(folder.string()), error.message()));
  if (empty) return tl::unexpected(fmt::format("the folder {} is empty", ToPrintable(folder.string())));
  return {};
}

SourceProblem CannotRead(const std::string& path, int error) {
  SourceProblem problem{.reason = fmt::format("cannot read the file: {}", std::strerror(error)),
                        .storage_away = error != ENOENT && error != ENOTDIR};
  if (problem.storage_away) return problem;
  if (const auto folder = CheckFolderOf(path); !folder) {
    problem = {.reason = folder.error() + ": is its storage mounted?", .storage_away = true};
  }
  return problem;
}

// Does not block, even if the file has become a pipe.
UniqueFd OpenToRead(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

// The storage may come back after the file was found missing and before its folder was checked. So a file that seems
// to be missing alone is opened once more.
tl::expected<UniqueFd, SourceProblem> OpenUnlessMissing(const std::string& path) {
  UniqueFd fd = OpenToRead(path);
  if (fd.valid()) return fd;
  SourceProblem problem = CannotRead(path, errno);
  if (!problem.storage_away) fd = OpenToRead(path);
  if (fd.valid()) return fd;
  return tl::unexpected(std::move(problem));
}

tl::unexpected<SourceProblem> Refuse(std::string reason, bool storage_away = false) {
  return tl::unexpected(SourceProblem{.reason = std::move(reason), .storage_away = storage_away});
}

}  // namespace

tl::expected<SourceFile, SourceProblem> OpenSourceFile(const std::string& path, const wire::Instance& instance) {
  auto fd = OpenUnlessMissing(path);
  if (!fd) return tl::unexpected(std::move(fd.error()));
  SourceFile source{.fd = std::move(*fd),
                    .transfer_syntax_uid = instance.transfer_syntax_uid(),
                    .dataset_offset = instance.dataset_offset()};
  struct stat status {};
  if (fstat(source.fd.get(), &status) != 0) return tl::unexpected(CannotRead(path, errno));
  const FileIdentity identity = IdentityOf(status);
  if (identity != FileIdentity{instance.size_bytes(), instance.mtime_ns()}) {
    const auto header = ReadFileHeader(path);
    if (!header) {
      return Refuse("the file has changed since the scan: " + header.error().reason,
                    header.error().problem == HeaderProblem::kUnreadable);
    }
    if (header->identity != identity) return Refuse("the file is being changed");
    if (header->sop_instance_uid != instance.sop_instance_uid() ||
        header->sop_class_uid != instance.sop_class_uid()) {
      return Refuse("the file has changed since the scan: it holds another instance now");
    }
    source.transfer_syntax_uid = header->transfer_syntax_uid;
    source.dataset_offset = header->dataset_offset;
  }
  if (identity.size_bytes <= source.dataset_offset) return Refuse("the file has no dataset");
  source.dataset_bytes = identity.size_bytes - source.dataset_offset;
  // Ask the kernel to read the file while others are sent. If it does not, nothing is lost.
  posix_fadvise(source.fd.get(), 0, static_cast<off_t>(std::min(identity.size_bytes, kReadAheadBytes)),
                POSIX_FADV_WILLNEED);
  return source;
}

}  // namespace dicom_sender
