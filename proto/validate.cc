#include "proto/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

using Problem = std::string;  // empty if there is none

Problem TooLong(std::string_view what, std::size_t size, std::size_t max) {
  return size <= max ? Problem() : fmt::format("{} of {} bytes (at most {})", what, size, max);
}

Problem TooMany(std::string_view what, int count, int max) {
  return count <= max ? Problem() : fmt::format("{} {} (at most {})", count, what, max);
}

// Returns the first problem of several checks.
template <class... Checks>
Problem FirstOf(Problem problem, Checks... checks) {
  ((problem.empty() ? void(problem = checks()) : void()), ...);
  return problem;
}

template <class Range, class Check>
Problem ForEach(const Range& range, Check check) {
  for (const auto& element : range) {
    if (Problem problem = check(element); !problem.empty()) return problem;
  }
  return {};
}

Problem Check(const wire::Instance& instance) {
  return FirstOf(
      TooLong("path", instance.path().size(), kPathBytesMax),
      [&] { return TooLong("SOP Class UID", instance.sop_class_uid().size(), kUidBytesMax); },
      [&] { return TooLong("SOP Instance UID", instance.sop_instance_uid().size(), kUidBytesMax); },
      [&] { return TooLong("transfer syntax UID", instance.transfer_syntax_uid().size(), kUidBytesMax); },
      [&] { return TooLong("defect", instance.defect().size(), kReasonBytesMax); },
      [&] { return instance.path().empty() ? Problem("an instance without a path") : Problem(); });
}

bool IsPrintable(char c) { return c >= 0x20 && c <= 0x7E; }

Problem Check(const wire::Root& root) { return TooLong("root path", root.path().size(), kPathBytesMax); }

Problem CheckAeTitle(const std::string& title) {
  return FirstOf(TooLong("AE title", title.size(), kAeTitleBytesMax), [&] {
    const bool fits = std::all_of(title.begin(), title.end(), [](char c) { return IsPrintable(c) && c != '\\'; });
    return fits ? Problem() : Problem("an AE title with an invalid character (PS3.5 6.2)");
  });
}

Problem CheckHost(const std::string& host) {
  return FirstOf(TooLong("host", host.size(), kHostBytesMax), [&] {
    const bool fits = std::all_of(host.begin(), host.end(), [](char c) { return IsPrintable(c) && c != ' '; });
    return fits ? Problem() : Problem("a host with an invalid character");
  });
}

Problem Check(const wire::Destination& destination) {
  return FirstOf(
      CheckAeTitle(destination.called_ae()), [&] { return CheckAeTitle(destination.calling_ae()); },
      [&] { return CheckHost(destination.host()); },
      [&] { return destination.port() > kPortMax ? Problem("a port above 65535") : Problem(); });
}

// Checks sizes and offsets so that sums and differences of them do not overflow.
Problem CheckSizes(const wire::PublishBatch& batch) {
  std::uint64_t bytes = 0;
  for (const auto& study : batch.studies()) {
    for (const auto& instance : study.instances()) {
      if (instance.dataset_offset() > instance.size_bytes()) return "a dataset that begins after the end of its file";
      if (instance.size_bytes() > kTotalBytesMax - bytes) return "files whose total size exceeds the limit";
      bytes += instance.size_bytes();
    }
  }
  return {};
}

Problem Check(const wire::PublishBatch& batch) {
  int instances = 0;
  Problem problem = ForEach(batch.studies(), [&](const wire::StudyItems& study) {
    instances += study.instances_size();
    return FirstOf(
        TooLong("Study Instance UID", study.study_instance_uid().size(), kUidBytesMax),
        [&] { return TooLong("accession number", study.accession_number().size(), kAccessionNumberBytesMax); },
        [&] { return ForEach(study.instances(), [](const wire::Instance& instance) { return Check(instance); }); });
  });
  return FirstOf(
      problem, [&] { return TooMany("instances", instances, kBatchInstancesMax); }, [&] { return CheckSizes(batch); },
      [&] { return ForEach(batch.roots(), [](const wire::Root& root) { return Check(root); }); },
      [&] { return TooLong("indexer's name", batch.indexer().size(), kIndexerNameBytesMax); },
      [&] { return TooMany("unread paths", batch.unread_size(), kUnreadPathsMax); },
      [&] {
        return ForEach(batch.unread(), [](const wire::UnreadPath& unread) {
          return FirstOf(TooLong("path", unread.path().size(), 2 * kPathBytesMax),
                         [&] { return TooLong("reason", unread.reason().size(), kReasonBytesMax); });
        });
      });
}

Problem Check(const wire::RecordComparisons& request) {
  return FirstOf(TooMany("comparisons", request.comparisons_size(), kListedCopiesMax), [&] {
    return ForEach(request.comparisons(), [](const wire::RecordComparisons::Entry& entry) {
      return TooLong("difference", entry.difference().size(), kReasonBytesMax);
    });
  });
}

// The session's ID becomes a part of file names.
Problem CheckSession(const std::string& session) {
  const bool fits = !session.empty() && session.size() <= kSessionBytesMax &&
                    session.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") ==
                        std::string::npos;
  return fits ? Problem() : Problem("a session ID that is not a UUID");
}

Problem Check(const wire::SendOptions& options) {
  const std::uint32_t pdu = options.max_pdu_bytes();
  if (options.async_window() > kAsyncWindowMax) {
    return fmt::format("an asynchronous operations window of {}, not 1 to {}", options.async_window(),
                       kAsyncWindowMax);
  }
  if (pdu == 0 || (pdu >= kPduBytesMin && pdu <= kPduBytesMax)) return {};
  return fmt::format("a maximum PDU of {} bytes, not {} to {}", pdu, kPduBytesMin, kPduBytesMax);
}

Problem Check(const wire::OpenSession& open) {
  return FirstOf(
      CheckSession(open.session()), [&] { return Check(open.destination()); },
      [&] { return Check(open.send_options()); }, [&] { return TooMany("inputs", open.inputs_size(), kInputsMax); },
      [&] {
        return ForEach(open.inputs(),
                       [](const std::string& input) { return TooLong("input", input.size(), kPathBytesMax); });
      });
}

Problem Check(const wire::ScanComplete& complete) {
  return FirstOf(
      TooLong("indexer's name", complete.indexer().size(), kIndexerNameBytesMax),
      [&] { return TooMany("reasons of ignored files", complete.ignored_size(), kIgnoredReasonsMax); },
      [&] {
        return ForEach(complete.ignored(), [](const wire::IgnoredFiles& files) {
          return FirstOf(TooLong("reason of ignored files", files.reason().size(), kReasonBytesMax), [&] {
            return files.files() > kIgnoredFilesMax ? Problem("a number of ignored files that exceeds the limit")
                                                    : Problem();
          });
        });
      });
}

Problem CheckStatus(std::uint32_t status) {
  return status > UINT16_MAX ? Problem("a DIMSE status above FFFF") : Problem();
}

Problem Check(const wire::RequeueInstances& requeue) {
  return FirstOf(
      CheckStatus(requeue.status()),
      [&] { return TooLong("Study Instance UID", requeue.study_instance_uid().size(), kUidBytesMax); },
      [&] { return TooLong("reason", requeue.reason().size(), kReasonBytesMax); },
      [&] { return TooLong("worker's name", requeue.worker().size(), kWorkerNameBytesMax); });
}

Problem Check(const wire::ClientRequest& request) {
  switch (request.request_case()) {
    case wire::ClientRequest::kOpenSession:
      return Check(request.open_session());
    case wire::ClientRequest::kBeginScan:
      return TooLong("indexer's name", request.begin_scan().indexer().size(), kIndexerNameBytesMax);
    case wire::ClientRequest::kPublishBatch:
      return Check(request.publish_batch());
    case wire::ClientRequest::kListCopies:
      return TooLong("indexer's name", request.list_copies().indexer().size(), kIndexerNameBytesMax);
    case wire::ClientRequest::kRecordComparisons:
      return Check(request.record_comparisons());
    case wire::ClientRequest::kScanComplete:
      return Check(request.scan_complete());
    case wire::ClientRequest::kRequeueInstances:
      return Check(request.requeue_instances());
    case wire::ClientRequest::REQUEST_NOT_SET:
      return "an unknown request";
    default:
      return {};
  }
}

Problem Check(const wire::ClientReply& reply) {
  return reply.reply_case() == wire::ClientReply::REPLY_NOT_SET ? "an unknown reply" : Problem();
}

Problem Check(const wire::GiveBack& back) {
  return FirstOf(TooLong("detail", back.detail().size(), kReasonBytesMax),
                 [&] { return TooLong("failure", back.failure().size(), kReasonBytesMax); });
}

Problem Check(const wire::Report& report) {
  return FirstOf(
      TooMany("outcomes", report.outcomes_size(), kReportOutcomesMax), [&] { return Check(report.give_back()); },
      [&] {
        return ForEach(report.outcomes(), [](const wire::Outcome& outcome) {
          return FirstOf(
              TooLong("reason", outcome.reason().size(), kReasonBytesMax),
              [&] { return CheckStatus(outcome.status()); },
              [&] {
                const bool known = wire::Outcome::Kind_IsValid(outcome.kind());
                return known ? Problem() : Problem("an outcome of an unknown kind");
              });
        });
      });
}

Problem Check(const wire::WorkerMessage& message) {
  switch (message.message_case()) {
    case wire::WorkerMessage::kStatus:
      return FirstOf(
          TooMany("held leases", message.status().held_size(), kHeldLeasesMax),
          [&] { return TooLong("worker's name", message.status().worker_id().size(), kWorkerNameBytesMax); },
          [&] { return message.status().worker_id().empty() ? Problem("a worker without a name") : Problem(); },
          [&] { return TooLong("reason", message.status().not_ready().size(), kReasonBytesMax); },
          [&] {
            const bool too_many = message.status().capacity() > std::uint32_t{kHeldLeasesMax};
            return too_many ? fmt::format("a worker with more than {} associations", kHeldLeasesMax) : Problem();
          });
    case wire::WorkerMessage::kReport:
      return Check(message.report());
    case wire::WorkerMessage::MESSAGE_NOT_SET:
      return "an unknown message";
    default:
      return {};
  }
}

Problem Check(const wire::Page& page) {
  return FirstOf(
      TooMany("instances", page.instances_size(), kPageInstancesMax),
      [&] { return ForEach(page.instances(), [](const wire::Instance& instance) { return Check(instance); }); },
      [&] { return ForEach(page.roots(), [](const wire::Root& root) { return Check(root); }); });
}

Problem Check(const wire::CoordinatorMessage& message) {
  switch (message.message_case()) {
    case wire::CoordinatorMessage::kGrant:
      return FirstOf(
          TooMany("context pairs", message.grant().pairs_size(), kContextPairsMax),
          [&] { return Check(message.grant().destination()); }, [&] { return Check(message.grant().first_page()); });
    case wire::CoordinatorMessage::kPage:
      return Check(message.page());
    case wire::CoordinatorMessage::MESSAGE_NOT_SET:
      return "an unknown message";
    default:
      return {};
  }
}

Problem Check(const wire::ToCoordinator& envelope) {
  switch (envelope.body_case()) {
    case wire::ToCoordinator::kClient:
      return Check(envelope.client());
    case wire::ToCoordinator::kWorker:
      return Check(envelope.worker());
    case wire::ToCoordinator::BODY_NOT_SET:
      break;
  }
  return "an unknown message";
}

Problem Check(const wire::FromCoordinator& envelope) {
  switch (envelope.body_case()) {
    case wire::FromCoordinator::kClient:
      return Check(envelope.client());
    case wire::FromCoordinator::kWorker:
      return Check(envelope.worker());
    case wire::FromCoordinator::kRefusal:
      return TooLong("reason", envelope.refusal().reason().size(), kReasonBytesMax);
    case wire::FromCoordinator::kNotLeading:
      return TooLong("leader", envelope.not_leading().leader().size(), kReasonBytesMax);
    case wire::FromCoordinator::BODY_NOT_SET:
      break;
  }
  return "an unknown message";
}

template <class Envelope>
tl::expected<Envelope, BadMessage> Parse(std::string_view bytes) {
  Envelope envelope;
  if (Problem problem = TooLong("message", bytes.size(), kMessageBytesMax); !problem.empty()) {
    return tl::unexpected(BadMessage{problem});
  }
  if (!envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return tl::unexpected(BadMessage{"not a message of this protocol"});
  }
  if (envelope.protocol_version() != kProtocolVersion) {
    return tl::unexpected(BadMessage{
        fmt::format("protocol version {} instead of {}: the programs are of different releases, install the same one",
                    envelope.protocol_version(), kProtocolVersion),
        true});
  }
  if (Problem problem = Check(envelope); !problem.empty()) return tl::unexpected(BadMessage{problem});
  return envelope;
}

// `body` selects the field of the envelope for the message.
template <class Envelope, class Message>
Envelope InEnvelope(Message message, Message* (Envelope::*body)()) {
  Envelope envelope;
  envelope.set_protocol_version(kProtocolVersion);
  *(envelope.*body)() = std::move(message);
  return envelope;
}

}  // namespace

tl::expected<wire::ToCoordinator, BadMessage> ParseToCoordinator(std::string_view bytes) {
  return Parse<wire::ToCoordinator>(bytes);
}
tl::expected<wire::FromCoordinator, BadMessage> ParseFromCoordinator(std::string_view bytes) {
  return Parse<wire::FromCoordinator>(bytes);
}

std::uint64_t BytesOf(const wire::PublishBatch& batch) {
  std::uint64_t bytes = 0;
  for (const auto& study : batch.studies()) {
    for (const auto& instance : study.instances()) bytes += instance.size_bytes();
  }
  return bytes;
}

wire::ToCoordinator Envelope(wire::ClientRequest request) {
  return InEnvelope(std::move(request), &wire::ToCoordinator::mutable_client);
}
wire::ToCoordinator Envelope(wire::WorkerMessage message) {
  return InEnvelope(std::move(message), &wire::ToCoordinator::mutable_worker);
}
wire::FromCoordinator Envelope(wire::ClientReply reply) {
  return InEnvelope(std::move(reply), &wire::FromCoordinator::mutable_client);
}
wire::FromCoordinator Envelope(wire::CoordinatorMessage message) {
  return InEnvelope(std::move(message), &wire::FromCoordinator::mutable_worker);
}
wire::FromCoordinator Envelope(wire::Refusal refusal) {
  return InEnvelope(std::move(refusal), &wire::FromCoordinator::mutable_refusal);
}
wire::FromCoordinator Envelope(wire::NotLeading not_leading) {
  return InEnvelope(std::move(not_leading), &wire::FromCoordinator::mutable_not_leading);
}

std::string LimitedReason(std::string_view reason) {
  if (reason.size() <= kReasonBytesMax) return std::string(reason);
  std::size_t end = kReasonBytesMax;
  while (end > 0 && (static_cast<unsigned char>(reason[end]) & 0xC0) == 0x80) --end;
  return std::string(reason.substr(0, end));
}

}  // namespace dicom_sender
