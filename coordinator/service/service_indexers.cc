// Handles the messages of indexers: writes what they found to the ledger, and passes it to the scheduler as events.
#include "coordinator/service/replies.h"
#include "coordinator/service/service.h"
#include "proto/limits.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

std::uint64_t PendingIn(const std::vector<StudyFeed>& feeds) {
  std::uint64_t instances = 0;
  for (const StudyFeed& feed : feeds) instances += feed.pending;
  return instances;
}

std::uint64_t InstancesIn(const wire::PublishBatch& batch) {
  std::uint64_t instances = 0;
  for (const auto& study : batch.studies()) instances += static_cast<std::uint64_t>(study.instances_size());
  return instances;
}

std::vector<UnreadPath> UnreadOf(const wire::PublishBatch& batch) {
  std::vector<UnreadPath> paths;
  for (const auto& unread : batch.unread()) paths.push_back({unread.path(), unread.folder(), unread.reason()});
  return paths;
}

}  // namespace

wire::ClientReply Service::Answer(const wire::BeginScan& request, const Moment& moment) {
  return About(request.session(), [&](SessionRecord record) {
    if (EndsBadly(record.state)) return SessionHasEnded(record);
    std::uint64_t scan = request.scan();
    const bool reopens = record.state == wire::SESSION_COMPLETE;
    if (reopens && sessions_.size() >= kOpenSessionsMax) return TooManySessions();
    if (ledger_.BeginScan(record.key, request.indexer(), scan)) {
      record.scan_complete = false;
      if (reopens) Reopen(record, moment);
      Apply(ScanBegun{record.key}, moment);
    }
    wire::ClientReply reply;
    reply.mutable_scan_begun()->set_scan(scan);
    return reply;
  });
}

wire::ClientReply Service::Answer(const wire::PublishBatch& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    if (!IsOpen(record.key) && record.state != wire::SESSION_SUSPENDED) return SessionHasEnded(record);
    if (BytesOf(request) + record.counts.total_bytes > kTotalBytesMax) return TooManyBytes(record);
    std::vector<StudyFeed> feeds = ledger_.AddStudies(record.key, request);
    ledger_.AddUnread(record.key, request.indexer(), UnreadOf(request));
    // If every instance of the batch will be sent, the batch settled nothing that the meter counts.
    if (PendingIn(feeds) < InstancesIn(request)) {
      meter_.BatchAdded(record, ledger_.LoadSession(record.key).counts, request, moment.wall);
    }
    Apply(StudiesFed{record.key, std::move(feeds)}, moment);
    wire::ClientReply reply;
    reply.mutable_publish_ack();
    return reply;
  });
}

wire::ClientReply Service::Answer(const wire::RecordComparisons& request) {
  return About(request.session(), [&](const SessionRecord& record) {
    std::vector<Comparison> comparisons;
    for (const auto& entry : request.comparisons()) {
      comparisons.push_back({entry.study(), entry.index(), entry.difference()});
    }
    ledger_.RecordComparisons(record.key, comparisons);
    // The summary must include comparisons that arrive after the session has ended.
    if (!IsOpen(record.key)) ended_.push_back(record.key);
    wire::ClientReply reply;
    reply.mutable_publish_ack();
    return reply;
  });
}

wire::ClientReply Service::Answer(const wire::ScanComplete& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    std::map<std::string, std::uint64_t> ignored;
    for (const auto& files : request.ignored()) ignored[files.reason()] += files.files();
    ledger_.CompleteScan(record.key, request.indexer(), request.scan(), ignored);
    const SessionRecord after = ledger_.LoadSession(record.key);
    if (!after.scan_complete) return queries_.Status(after, moment.now);  // another indexer is still scanning
    Apply(ScanCompleted{record.key}, moment);
    return StatusAfterChange(record.key, moment);
  });
}

}  // namespace dicom_sender
