// The read and write interface of the ledger, which is the only durable state of a coordinator. ledger_reader.h is
// the read-only part.
//
// All changes happen between Begin() and Commit(). A coordinator sends a reply that promises something only after
// Commit() has returned.
//
// A store may send a change without waiting for the answer. In that case a later function throws the LedgerError of a
// failed change, at the latest Commit(). The sessions and studies whose keys are passed must exist. Otherwise the
// effect is undefined, and the function may throw LedgerError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/ledger/ledger_reader.h"

namespace dicom_sender {

// Selects failed instances. All conditions that are set must hold.
struct RequeueFilter {
  std::optional<std::uint16_t> status = {};
  std::optional<std::string> study_instance_uid = {};
  std::optional<std::string> reason = {};  // a substring of the instance's reason; ASCII letters match in either case
  std::optional<std::string> worker = {};  // the worker that reported the failure
};

struct Comparison {
  StudyKey study = 0;  // `study` and `index` identify the copy
  std::uint32_t index = 0;
  std::string difference;  // what differs; empty if the files are equal
};
// A copy that is sent in place of a failed file.
struct PromotedCopy {
  SessionKey session = 0;
  StudyFeed feed;  // with this one instance
  std::string path;
  std::string failed_path;
};

struct InstanceChange {
  StudyKey study = 0;
  std::uint32_t index = 0;
  InstanceState state = InstanceState::kPending;
  std::uint32_t attempts = 0;           // in total
  std::optional<std::uint16_t> status;  // DIMSE status, if the destination answered
  std::string reason;
  std::uint32_t duration_us = 0;
  bool resend = false;
  bool may_be_stored = false;  // as in InstanceFacts
  std::string worker = {};     // that reported it; empty if none did, as for a defect that the scan found
  InstanceFacts before = {};   // the facts before the change, which saves the ledger a read
};

class Ledger : public LedgerReader {
 public:
  // Throws LedgerFenced if another coordinator is the leader now.
  virtual void Begin() = 0;
  // When it returns, everything since Begin() is durable. If it throws, the transaction may or may not have been
  // committed.
  virtual void Commit() = 0;

  // --- sessions
  // Throws LedgerError if a session with this UUID exists.
  virtual SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) = 0;
  // Replaces the settings; the UUID stays.
  virtual void SetSettings(SessionKey session, const wire::OpenSession& settings) = 0;
  // Records that an indexer begins a scan, so the session's scan is no longer complete. Deletes the list of what the
  // indexer's last scan could not read. If `scan` is not greater than the number of its last scan, returns false,
  // changes nothing, and sets `scan` to that number.
  virtual bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) = 0;
  // Records that the indexer's scan is complete, if it is the indexer's last scan. The session's scan is complete
  // when the scans of all its indexers are.
  virtual void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                            const std::map<std::string, std::uint64_t>& ignored) = 0;
  // Records what the indexer's scan could not read, until its next scan. Call it after BeginScan().
  virtual void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) = 0;
  // SCANNING and SENDING clear the end time and the end reason, and begin a run. The other states set the end time to
  // `now`, and end the run.
  virtual void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                               WallTime now) = 0;
  // For a session that an earlier coordinator left open: ends the earlier run at its last outcome, and begins a new
  // one.
  virtual void BeginRun(SessionKey session, WallTime now) = 0;
  // Sets the state that was requested for the session, which takes effect when its leases have ended.
  // SetSessionState() clears it when the session ends, and so does nullopt.
  virtual void SetEnding(SessionKey session, std::optional<wire::SessionState> state) = 0;
  // Makes the selected instances pending again, without used attempts and without a reporting worker. Instances that
  // failed because of a defect that the scan found stay failed. Returns one StudyFeed for each study with such
  // instances.
  virtual std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) = 0;

  // --- the feed
  // (session, root path, path) identifies a file. A file that is in the ledger already does not change, but if its
  // SOP Instance UID has changed, it counts as another file. If an instance has the same SOP Instance UID as another
  // one of the session, it is skipped as a copy and must be compared, unless that other one failed. An instance with
  // a defect fails. A study keeps its first accession number. Indices continue those of the study. Returns one
  // StudyFeed for each study of the batch.
  virtual std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) = 0;
  // Equal copies stay skipped as duplicates, and the others become conflicts. Ignores comparisons of copies that do
  // not need one any more. All copies must belong to the session.
  virtual void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) = 0;
  // For each failed instance of the study that has a copy left, except for defects that the scan found: makes the
  // first copy pending in its place. The instance becomes skipped, or a conflict if the two differ or were not
  // compared. The other copies become copies of the promoted one.
  virtual std::vector<PromotedCopy> PromoteCopies(StudyKey study) = 0;

  // --- leases
  // Sets page_end to 0. `identity` is as in LeaseRecord. Throws LedgerError if the lease exists.
  virtual void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                          std::uint32_t worker_capacity, WallTime now) = 0;
  // `clean`: the worker reported everything that it sent. Otherwise raises suspect_end to at least page_end, and
  // counts the instances that were suspect before and were handed out again as resends, because no report will
  // follow. Returns their number.
  virtual std::uint64_t EndLease(StudyKey study, bool clean) = 0;
  // Records that the report with this `seq` was applied. `associations` is the total of this lease; the increase is
  // added to the study and the session. `lease` must be as FindLease() returned it in the same transaction.
  virtual void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) = 0;

  // --- instances
  // Raises the study's page_end to this value.
  virtual void SetPageEnd(StudyKey study, std::uint32_t page_end) = 0;
  // `before` of each change must be what LoadInstances() returned in the same transaction or, for a second change of
  // an instance, the result of the first one. Throws LedgerError if an instance does not exist, or has another state
  // or number of attempts. Updates the counts of the studies and sessions. `now` becomes the outcome time of the
  // instances that are settled.
  virtual void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) = 0;
  // Fails every unsettled instance of the study with this reason and without a status. Keeps the attempts,
  // may_be_stored, and the worker that reported the instance last. Returns the number of instances.
  virtual std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) = 0;
};

}  // namespace dicom_sender
