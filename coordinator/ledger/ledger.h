// The ledger as its coordinator uses it: it reads (ledger_reader.h) and writes. It is the only durable state of a
// coordinator.
//
// Every change is made between Begin() and Commit(). A reply that promises something is sent only after Commit() has
// returned.
//
// A store may send a change without waiting for the answer. Then the LedgerError of a change that fails comes from a
// later function, from Commit() at the latest. Sessions and studies that are named by their keys must exist: what a
// change does for one that does not is not defined, and it may throw LedgerError.
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

// Selects failed instances: all conditions that are set must hold.
struct RequeueFilter {
  std::optional<std::uint16_t> status = {};
  std::optional<std::string> study_instance_uid = {};
  std::optional<std::string> reason = {};  // the instance's reason contains it; ASCII letters match in either case
  std::optional<std::string> worker = {};  // that reported the failure
};

struct Comparison {
  StudyKey study = 0;  // these two: of the copy
  std::uint32_t index = 0;
  std::string difference;  // what differs; empty: nothing
};
// A copy that is sent in the place of a file that has failed.
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
  std::uint32_t attempts = 0;           // in all
  std::optional<std::uint16_t> status;  // DIMSE status, if the destination answered
  std::string reason;
  std::uint32_t duration_us = 0;
  bool resend = false;
  bool may_be_stored = false;  // as in InstanceFacts
  std::string worker = {};     // that reported it; empty: none did, such as for a scan's finding
  InstanceFacts before = {};   // what the instance changes from, so that the ledger need not read it again
};

class Ledger : public LedgerReader {
 public:
  // Throws LedgerFenced if another coordinator leads on the ledger.
  virtual void Begin() = 0;
  // Everything since Begin() is durable when it returns. If it throws, the transaction may have been committed or
  // not.
  virtual void Commit() = 0;

  // --- sessions
  // Throws LedgerError if a session with this UUID exists.
  virtual SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) = 0;
  // Replaces the settings; the UUID stays.
  virtual void SetSettings(SessionKey session, const wire::OpenSession& settings) = 0;
  // An indexer begins a scan, so the session's scan is not complete. Forgets what the indexer's last scan could not
  // read. If `scan` is not greater than the number of its last scan, returns false, changes nothing, and sets `scan`
  // to that number.
  virtual bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) = 0;
  // The indexer's scan is complete, if it is its last one. The session's scan is complete when those of all its
  // indexers are.
  virtual void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                            const std::map<std::string, std::uint64_t>& ignored) = 0;
  // What the indexer's scan could not read, until its next one. After BeginScan.
  virtual void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) = 0;
  // `now` becomes the end time, except for SCANNING and SENDING, which clear the end time and the end reason. A run
  // begins or ends with it.
  virtual void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                               WallTime now) = 0;
  // A coordinator continues a session that an earlier one has left open: that run ended with its last outcome.
  virtual void BeginRun(SessionKey session, WallTime now) = 0;
  // The end that was requested, which is due when the session's leases have ended. SetSessionState clears it when the
  // session ends, and so does nullopt.
  virtual void SetEnding(SessionKey session, std::optional<wire::SessionState> state) = 0;
  // These instances are pending again, have used no attempts, and have no reporting worker. Failures whose defect is
  // known from the scan stay. Returns one StudyFeed for each study that has any.
  virtual std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) = 0;

  // --- the feed
  // Files that are known by (session, root path, path) stay as they are, unless their SOP Instance UID has changed:
  // then they are other files. An instance whose SOP Instance UID is known in the session is skipped as a copy, which
  // is to be compared, but a copy of one that has failed is not skipped. An instance that has a defect fails with it.
  // A study keeps its first accession number. Indices continue those of the study. Returns one StudyFeed for each
  // study of the batch.
  virtual std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) = 0;
  // Copies that are equal stay skipped as duplicates, others become conflicts. Comparisons of copies that are no
  // longer to be compared change nothing. All are of the session.
  virtual void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) = 0;
  // For each instance of the study that has failed, except by a defect that the scan found, and that has a copy left:
  // the first copy becomes pending in its place, and the instance is skipped, or a conflict if the two differ or were
  // not compared. Further copies are copies of that one from now on.
  virtual std::vector<PromotedCopy> PromoteCopies(StudyKey study) = 0;

  // --- leases
  // page_end becomes 0. `identity` is as in LeaseRecord. Throws LedgerError if the lease exists.
  virtual void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                          std::uint32_t worker_capacity, WallTime now) = 0;
  // `clean`: the worker has reported everything that it sent. Otherwise suspect_end becomes at least page_end.
  // Instances that were suspect before and were handed out again count as resends, because no report will follow.
  // Returns their number.
  virtual std::uint64_t EndLease(StudyKey study, bool clean) = 0;
  // A report was applied: `seq` is the last one. `associations` is the count under this lease so far, and study and
  // session grow by what is new. `lease` is as FindLease returned it in the same transaction.
  virtual void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) = 0;

  // --- instances
  // Raises the study's page_end.
  virtual void SetPageEnd(StudyKey study, std::uint32_t page_end) = 0;
  // `before` of each change is what LoadInstances returned in the same transaction or, for a second change of an
  // instance, what the first one made of it. Throws LedgerError if an instance does not exist or has another state or
  // number of attempts. Counts of study and session follow. `now` is the outcome time of those that it settles.
  virtual void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) = 0;
  // Every unsettled instance of the study fails with this reason and no status. Its attempts, may_be_stored and the
  // worker that reported it last stay. Returns their number.
  virtual std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) = 0;
};

}  // namespace dicom_sender
