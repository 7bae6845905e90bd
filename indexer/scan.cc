#include "indexer/scan.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace dicom_sender {
namespace {

// Readers take several files at a time, because otherwise locking would cost more than reading.
constexpr std::size_t kFilesPerTurn = 8;

// The entries that the walk has found and the consumer has not received yet, in the order of the walk. The walk
// appends entries, the readers read the next unread files, and the consumer removes finished entries from the start.
class Window {
 public:
  struct Slot {
    WalkEntry entry;
    HeaderResult header = tl::unexpected(HeaderError{});
    bool done = false;
  };

  // Returns false if the scan was stopped.
  bool Add(WalkEntry entry, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return slots_.size() < kScanWindowFiles; })) return false;
    const bool done = entry.kind != WalkEntry::Kind::kFile;
    slots_.push_back({std::move(entry), tl::unexpected(HeaderError{}), done});
    // Readers wait only if all files have been taken, and the consumer waits only for the first entry.
    if (unread_ + 1 == slots_.size() || slots_.size() == 1) changed_.notify_all();
    return true;
  }
  void End() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  // Returns files to read, or nothing if the scan is over. The slots do not move until they are done.
  std::vector<Slot*> TakeUnread(const std::stop_token& stop) {
    std::vector<Slot*> taken;
    std::unique_lock lock(mutex_);
    while (taken.empty()) {
      changed_.wait(lock, stop, [this] { return unread_ < slots_.size() || ended_; });
      if (stop.stop_requested() || unread_ == slots_.size()) break;
      for (; unread_ < slots_.size() && taken.size() < kFilesPerTurn; ++unread_) {
        if (!slots_[unread_].done) taken.push_back(&slots_[unread_]);
      }
    }
    return taken;
  }
  void SetDone(const std::vector<Slot*>& slots) {
    const std::lock_guard lock(mutex_);
    for (Slot* slot : slots) slot->done = true;
    if (!slots_.empty() && slots_.front().done) changed_.notify_all();
  }

  // Removes the finished entries from the start. Returns nothing if the scan is over.
  std::vector<Slot> TakeDone(const std::stop_token& stop) {
    std::vector<Slot> taken;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] { return slots_.empty() ? ended_ : slots_.front().done; });
    if (stop.stop_requested()) return taken;
    while (!slots_.empty() && slots_.front().done) {
      taken.push_back(std::move(slots_.front()));
      slots_.pop_front();
      unread_ -= unread_ > 0 ? 1 : 0;  // the consumer may take a folder's end before a reader has passed it
    }
    changed_.notify_all();
    return taken;
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Slot> slots_;  // a deque keeps references valid while both ends change
  std::size_t unread_ = 0;  // index of the first slot that no reader has passed
  bool ended_ = false;      // the walk has added everything
};

void Deliver(const Window::Slot& slot, ScanConsumer& consumer) {
  switch (slot.entry.kind) {
    case WalkEntry::Kind::kFile:
      return consumer.OnFile(slot.entry, slot.header);
    case WalkEntry::Kind::kFolderEnd:
      return consumer.OnFolderEnd();
    case WalkEntry::Kind::kFolderProblem:
      return consumer.OnFolderProblem(slot.entry);
  }
}

void Walk(FolderWalk& walk, Window& window, const std::stop_token& stop) {
  while (auto entry = walk.Next()) {
    if (!window.Add(std::move(*entry), stop)) return;
  }
  window.End();
}

void ReadHeaders(const std::vector<ScanRoot>& roots, Window& window, const std::stop_token& stop) {
  for (auto slots = window.TakeUnread(stop); !slots.empty(); slots = window.TakeUnread(stop)) {
    for (Window::Slot* slot : slots) {
      slot->header = ReadFileHeader(roots[slot->entry.root].folder + "/" + slot->entry.path);
    }
    window.SetDone(slots);
  }
}

}  // namespace

void Scan(const std::vector<ScanRoot>& roots, bool recursive, unsigned threads, ScanConsumer& consumer,
          std::stop_token stop) {
  Window window;
  FolderWalk walk(roots, recursive);
  std::stop_source end;  // stops the threads if the caller requests a stop or the consumer throws
  const std::stop_callback pass_on(stop, [&end] { end.request_stop(); });
  struct EndOnExit {
    std::stop_source& end;
    ~EndOnExit() { end.request_stop(); }
  };
  std::vector<std::jthread> helpers;  // joined after EndOnExit has stopped them
  const EndOnExit end_on_exit{end};
  helpers.emplace_back([&] { Walk(walk, window, end.get_token()); });
  for (unsigned i = 0; i < threads; ++i) {
    helpers.emplace_back([&] { ReadHeaders(roots, window, end.get_token()); });
  }
  for (auto slots = window.TakeDone(end.get_token()); !slots.empty(); slots = window.TakeDone(end.get_token())) {
    for (const Window::Slot& slot : slots) {
      if (stop.stop_requested()) return;
      Deliver(slot, consumer);
    }
  }
}

}  // namespace dicom_sender
