#include "indexer/folder_walk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace dicom_sender {
namespace {

std::string Join(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

WalkEntry Problem(std::uint32_t root, std::string path, int error) {
  return {WalkEntry::Kind::kFolderProblem, root, std::move(path), std::strerror(error)};
}

}  // namespace

std::vector<ScanRoot> ScanRoots(const std::vector<std::string>& inputs) {
  std::vector<ScanRoot> roots;
  for (const std::string& input : inputs) {
    // Not normalized, because "link/.." is not the folder that contains the link. "a/" names the folder "a".
    auto path = std::filesystem::absolute(input);
    if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) {
      roots.push_back({path, ""});
    } else {
      roots.push_back({path.parent_path(), path.filename()});
    }
  }
  return roots;
}

void FolderWalk::CloseFolder::operator()(DIR* folder) const { closedir(folder); }

FolderWalk::FolderWalk(std::vector<ScanRoot> roots, bool recursive)
    : roots_(std::move(roots)), recursive_(recursive) {
  for (std::size_t i = roots_.size(); i-- > 0;) waiting_.push_back({static_cast<std::uint32_t>(i), roots_[i].file});
}
FolderWalk::~FolderWalk() = default;

std::optional<WalkEntry> FolderWalk::Next() {
  for (;;) {
    if (!files_.empty()) {
      std::string path = Join(current_.path, files_.back());
      files_.pop_back();
      return WalkEntry{WalkEntry::Kind::kFile, current_.root, std::move(path), {}};
    }
    if (open_ && at_end_) return LeaveFolder();
    if (open_) {
      ReadNames();
      continue;
    }
    if (waiting_.empty()) return std::nullopt;
    Folder folder = std::move(waiting_.back());
    waiting_.pop_back();
    if (auto entry = Open(std::move(folder))) return entry;
  }
}

std::optional<WalkEntry> FolderWalk::Open(Folder folder) {
  const ScanRoot& root = roots_[folder.root];
  if (!root.file.empty()) return WalkEntry{WalkEntry::Kind::kFile, folder.root, root.file, {}};
  const std::string path = Join(root.folder, folder.path);
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Problem(folder.root, folder.path, errno);
  struct stat status {};
  if (fstat(fd, &status) != 0 || !seen_.emplace(status.st_dev, status.st_ino).second) {
    close(fd);
    return std::nullopt;
  }
  open_.reset(fdopendir(fd));
  if (!open_) {
    close(fd);
    return Problem(folder.root, folder.path, errno);
  }
  current_ = std::move(folder);
  at_end_ = false;
  return std::nullopt;
}

void FolderWalk::ReadNames() {
  while (files_.size() < kNamesPerTurn) {
    errno = 0;
    const dirent* found = readdir(open_.get());
    if (found == nullptr) {
      at_end_ = true;
      error_ = errno;
      break;
    }
    const std::string name = found->d_name;
    if (name == "." || name == "..") continue;
    if (!IsFolder(name, found->d_type)) {
      files_.push_back(name);
    } else if (recursive_) {
      sub_folders_.push_back(name);
    }
  }
  std::sort(files_.rbegin(), files_.rend());
}

WalkEntry FolderWalk::LeaveFolder() {
  open_.reset();
  std::sort(sub_folders_.rbegin(), sub_folders_.rend());
  for (const std::string& name : sub_folders_) waiting_.push_back({current_.root, Join(current_.path, name)});
  sub_folders_.clear();
  if (error_ != 0) return Problem(current_.root, current_.path, error_);
  return {WalkEntry::Kind::kFolderEnd, current_.root, current_.path, {}};
}

// Follows symbolic links. If stat() fails, the name counts as a file, and reading it reports the reason.
bool FolderWalk::IsFolder(const std::string& name, unsigned char type) const {
  if (type == DT_DIR) return true;
  if (type != DT_LNK && type != DT_UNKNOWN) return false;
  struct stat status {};
  return fstatat(dirfd(open_.get()), name.c_str(), &status, 0) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace dicom_sender
