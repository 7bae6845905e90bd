#include "worker/loop/folder_watch.h"

#include <fmt/format.h>

#include <filesystem>

#include "common/text.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kLookEvery(2), kFirstLookMax(1), kHangsAfter(10);

std::string FirstProblem(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    if (std::string wrong = WrongWithFolder(folder); !wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace

std::string WrongWithFolder(const std::string& folder) {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(folder, error);
  const bool empty = !error && is_folder && std::filesystem::is_empty(folder, error);
  if (error) return fmt::format("the folder {}: {}", ToPrintable(folder), error.message());
  if (!is_folder) return fmt::format("{} is not a folder", ToPrintable(folder));
  return empty ? fmt::format("the folder {} is empty: is its storage mounted?", ToPrintable(folder)) : std::string();
}

FolderWatch::FolderWatch(std::vector<std::string> folders)
    : folders_(std::move(folders)), look_begun_(MonotonicNow()) {
  if (folders_.empty()) return;
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kFirstLookMax, [this] { return looked_; });
}

void FolderWatch::Run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    look_begun_ = MonotonicNow();
    looked_ = false;
    lock.unlock();
    std::string reason = FirstProblem(folders_);
    lock.lock();
    reason_ = std::move(reason);
    looked_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, stop, kLookEvery, [] { return false; });
  }
}

std::string FolderWatch::Reason() const {
  if (folders_.empty()) return {};
  const std::lock_guard lock(mutex_);
  if (!looked_ && MonotonicNow() >= look_begun_ + kHangsAfter) {
    return fmt::format("the storage has not responded for more than {} s", kHangsAfter.count());
  }
  return reason_;
}

}  // namespace dicom_sender
