#include "indexer/indexer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/text.h"
#include "common/time.h"
#include "dicom/file/dataset_difference.h"
#include "indexer/batch.h"
#include "indexer/scan.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

// The reason why a file is ignored, as ScanComplete, the metrics, and the log name it.
const char* IgnoredReason(HeaderProblem problem) {
  switch (problem) {
    case HeaderProblem::kEmpty:
      return "empty";
    case HeaderProblem::kDicomDir:
      return "dicomdir";
    default:
      return "not_dicom";
  }
}

std::vector<std::string> Folders(const std::vector<ScanRoot>& roots) {
  std::vector<std::string> folders;
  folders.reserve(roots.size());
  for (const ScanRoot& root : roots) folders.push_back(root.folder);
  return folders;
}

wire::Instance ToInstance(const WalkEntry& entry, const FileHeader& header, std::string defect) {
  wire::Instance instance;
  instance.set_root(entry.root);
  instance.set_path(entry.path);
  instance.set_sop_class_uid(header.sop_class_uid);
  instance.set_sop_instance_uid(header.sop_instance_uid);
  instance.set_transfer_syntax_uid(header.transfer_syntax_uid);
  instance.set_dataset_offset(header.dataset_offset);
  instance.set_size_bytes(header.identity.size_bytes);
  instance.set_mtime_ns(header.identity.mtime_ns);
  instance.set_defect(std::move(defect));
  return instance;
}

// Returns why an instance with this header cannot be sent, or an empty text.
std::string MissingUid(const FileHeader& header) {
  if (header.sop_class_uid.empty()) return "no SOP Class UID";
  return header.sop_instance_uid.empty() ? "no SOP Instance UID" : "";
}

class Publisher : public ScanConsumer {
 public:
  Publisher(const IndexerOptions& options, std::vector<ScanRoot> roots, CoordinatorClient& coordinator,
            IndexerMetrics& metrics, IndexerProgress& progress, std::stop_source& scan, std::stop_token stop)
      : options_(options),
        roots_(std::move(roots)),
        coordinator_(coordinator),
        metrics_(metrics),
        progress_(progress),
        scan_(scan),
        stop_(std::move(stop)),
        batch_(options.session, options.name, Folders(roots_)) {}

  void OnFile(const WalkEntry& entry, const HeaderResult& header) override {
    ++progress_.files;
    if (header) {
      OnInstance(entry, *header, MissingUid(*header));
    } else if (IsBrokenDicom(header.error().problem)) {
      OnInstance(entry, header.error().known, LimitedReason(header.error().reason));
    } else if (header.error().problem == HeaderProblem::kUnreadable) {
      OnUnread(entry, /*is_folder=*/false, header.error().reason);
    } else {
      Ignore(entry, IgnoredReason(header.error().problem), header.error().reason);
    }
  }
  // Counts as one file, because the number of files in the folder is unknown.
  void OnFolderProblem(const WalkEntry& entry) override { OnUnread(entry, /*is_folder=*/true, entry.reason); }
  void OnFolderEnd() override {
    if (options_.publish_folders) Publish();
  }

  tl::expected<void, std::string> Begin() {
    wire::ClientRequest request;
    auto* begin = request.mutable_begin_scan();
    begin->set_session(options_.session);
    begin->set_indexer(options_.name);
    // The number must increase with each scan. If the clock was set back, the coordinator's reply says the minimum.
    begin->set_scan(static_cast<std::uint64_t>(WallNow().time_since_epoch().count()));
    for (;;) {
      const auto reply = Ask(request);
      if (!reply) return tl::unexpected(reply.error().reason);
      scan_number_ = begin->scan();
      if (reply->scan_begun().scan() <= scan_number_) {
        progress_.begun.Raise();
        return {};
      }
      begin->set_scan(reply->scan_begun().scan() + 1);
    }
  }

  tl::expected<void, std::string> Finish() {
    Publish();
    CompareCopies();
    if (problem_) return tl::unexpected(*problem_);
    wire::ClientRequest request;
    request.mutable_scan_complete()->set_session(options_.session);
    request.mutable_scan_complete()->set_indexer(options_.name);
    request.mutable_scan_complete()->set_scan(scan_number_);
    for (const auto& [reason, files] : ignored_) {
      auto* entry = request.mutable_scan_complete()->add_ignored();
      entry->set_reason(reason);
      entry->set_files(files);
    }
    Call(request);
    if (problem_) return tl::unexpected(*problem_);
    return {};
  }

 private:
  std::string FullPath(const WalkEntry& entry) const {
    return entry.path.empty() ? roots_[entry.root].folder : roots_[entry.root].folder + "/" + entry.path;
  }

  void OnInstance(const WalkEntry& entry, const FileHeader& header, std::string defect) {
    ++progress_.found;
    metrics_.indexed_files_total[defect.empty() ? "indexed" : "broken"].Increment();
    if (!defect.empty()) {
      const ScopedLogFields fields({.session = options_.session,
                                    .study = header.study_instance_uid,
                                    .sop_instance = header.sop_instance_uid,
                                    .path = FullPath(entry)});
      spdlog::warn("{} cannot be sent: {}", FullPath(entry), defect);
    } else if (header.study_instance_uid.empty()) {
      const ScopedLogFields fields(
          {.session = options_.session, .sop_instance = header.sop_instance_uid, .path = FullPath(entry)});
      spdlog::warn("{} has no Study Instance UID", FullPath(entry));
    }
    batch_.Add(header.study_instance_uid, header.accession_number, ToInstance(entry, header, std::move(defect)));
    if (batch_.full()) Publish();
  }
  void Ignore(const WalkEntry& entry, const char* reason, const std::string& detail) {
    ++ignored_[reason];
    metrics_.indexed_files_total[reason].Increment();
    const ScopedLogFields fields({.session = options_.session, .path = FullPath(entry)});
    spdlog::info("{} is ignored: {}", FullPath(entry), detail);
  }
  void OnUnread(const WalkEntry& entry, bool is_folder, const std::string& detail) {
    const char* reason = is_folder ? "unreadable_folder" : "unreadable";
    ++ignored_[reason];
    metrics_.indexed_files_total[reason].Increment();
    const ScopedLogFields fields({.session = options_.session, .path = FullPath(entry)});
    spdlog::warn("{} was NOT READ: {}{}", FullPath(entry), is_folder ? "the folder cannot be read: " : "", detail);
    batch_.AddUnread(FullPath(entry), is_folder, LimitedReason(detail));
    if (batch_.full()) Publish();
  }

  // Processes the list in parts, until the coordinator returns no more.
  void CompareCopies() {
    wire::ClientRequest list;
    list.mutable_list_copies()->set_session(options_.session);
    list.mutable_list_copies()->set_indexer(options_.name);
    list.mutable_list_copies()->set_limit(kListedCopiesMax);
    for (;;) {
      const auto reply = Call(list);
      if (!reply || reply->copies().copies_size() == 0) return;
      const auto& last = *reply->copies().copies().rbegin();
      list.mutable_list_copies()->mutable_cursor()->set_study(last.study());
      list.mutable_list_copies()->mutable_cursor()->set_index(last.index());
      Call(Compare(reply->copies()));
    }
  }
  wire::ClientRequest Compare(const wire::CopyList& copies) {
    std::vector<std::string> differences(static_cast<std::size_t>(copies.copies_size()));
    std::atomic<std::size_t> next = 0;
    const auto compare = [&] {
      for (std::size_t i = next++; i < differences.size() && !stop_.stop_requested(); i = next++) {
        const auto& copy = copies.copies(static_cast<int>(i));
        differences[i] = DatasetDifference(copy.path(), copy.original_path(), stop_);
        ++progress_.compared;
      }
    };
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < options_.threads; ++i) threads.emplace_back(compare);
    compare();
    threads.clear();

    wire::ClientRequest request;
    request.mutable_record_comparisons()->set_session(options_.session);
    if (stop_.stop_requested()) return request;  // the comparison is incomplete
    for (std::size_t i = 0; i < differences.size(); ++i) {
      const auto& copy = copies.copies(static_cast<int>(i));
      if (!differences[i].empty()) {
        const ScopedLogFields fields({.session = options_.session, .path = copy.path()});
        spdlog::warn("{} is in conflict with {}, which has the same SOP Instance UID: {}", copy.path(),
                     copy.original_path(), differences[i]);
      }
      auto* entry = request.mutable_record_comparisons()->add_comparisons();
      entry->set_study(copy.study());
      entry->set_index(copy.index());
      entry->set_difference(LimitedReason(ToValidUtf8(differences[i])));  // a path in it may not be UTF-8
    }
    return request;
  }

  void Publish() {
    if (batch_.empty()) return;
    wire::ClientRequest request;
    *request.mutable_publish_batch() = batch_.Take();
    Call(request);
  }
  tl::expected<wire::ClientReply, CallError> Ask(const wire::ClientRequest& request) {
    for (;;) {
      auto reply = coordinator_.Call(request, stop_, options_.say_waits_after);
      const bool silent = !reply && reply.error().kind == CallError::Kind::kNoAnswer;
      if (progress_.waits.exchange(silent) && reply) {
        spdlog::info("The coordinator answers again: the scan continues");
      }
      if (!silent) return reply;
      spdlog::warn("The scan is waiting: {}", reply.error().reason);
    }
  }
  std::optional<wire::ClientReply> Call(const wire::ClientRequest& request) {
    if (problem_) return std::nullopt;
    auto reply = Ask(request);
    if (reply) return *std::move(reply);
    problem_ = reply.error().reason;
    scan_.request_stop();
    return std::nullopt;
  }

  const IndexerOptions& options_;
  const std::vector<ScanRoot> roots_;
  CoordinatorClient& coordinator_;
  IndexerMetrics& metrics_;
  IndexerProgress& progress_;
  std::stop_source& scan_;
  std::stop_token stop_;
  BatchBuilder batch_;
  std::uint64_t scan_number_ = 0;
  std::map<std::string, std::uint64_t> ignored_;
  std::optional<std::string> problem_;
};

}  // namespace

tl::expected<void, std::string> RunIndexer(const IndexerOptions& options, CoordinatorClient& coordinator,
                                           IndexerMetrics& metrics, IndexerProgress& progress, std::stop_token stop) {
  const std::vector<ScanRoot> roots = ScanRoots(options.inputs);
  std::stop_source scan;  // requested by the caller's stop, or if a request to the coordinator fails
  const std::stop_callback pass_on(stop, [&scan] { scan.request_stop(); });
  Publisher publisher(options, roots, coordinator, metrics, progress, scan, stop);
  if (auto begun = publisher.Begin(); !begun) return begun;
  Scan(roots, options.recursive, options.threads, publisher, scan.get_token());
  if (stop.stop_requested()) return tl::unexpected(std::string("stopped before the scan was complete"));
  return publisher.Finish();
}

}  // namespace dicom_sender
