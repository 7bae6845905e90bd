// The ledger: what was found, what was promised, what became of it. The only durable state of the coordinator.
//
// Every change is made between Begin() and Commit(); reads see the changes of the open transaction, and may stand
// outside of one. A reply that promises something is sent only after Commit() has returned. All functions throw
// LedgerError where the store fails (disk full, damaged file): memory is then ahead of the disk, and the coordinator
// must stop.
//
// Keys only grow and are never used twice. One thread. Memory per call is bounded by the arguments and limits.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client.pb.h"
#include "common/store_error.h"
#include "common/time.h"
#include "worker.pb.h"

namespace dicom_sender {

using SessionKey = std::int64_t;
using StudyKey = std::int64_t;
using LeaseId = std::uint64_t;

class LedgerError : public StoreError {
 public:
  using StoreError::StoreError;
};

// The ledger has another leader now (leadership.h): nothing of the transaction was or will be written.
class LedgerFenced : public LedgerError {
 public:
  using LedgerError::LedgerError;
};

// design: pending -> stored | stored_with_warning | failed | skipped, and delayed between attempts. That an instance
// is leased is known from its study. The numbers are stored; 6 is reserved: until schema 3 it stood for instances
// that their session had left unsent.
//
// Of the files that have the same SOP Instance UID, one is to be sent, and the others are its copies: kSkipped or
// kConflict.
enum class InstanceState : std::uint8_t {
  kPending = 0,
  kDelayed = 1,
  kStored = 2,
  kStoredWithWarning = 3,
  kFailed = 4,
  kSkipped = 5,
  kConflict = 7,  // skipped, too, but its dataset or its study is another one, or could not be compared
};
constexpr bool IsSettled(InstanceState state) { return state >= InstanceState::kStored; }

// Counts of instances; kept for each study and each session, and changed with the instances in one transaction.
struct Counts {
  std::uint64_t total = 0;
  std::uint64_t stored = 0;  // without a warning
  std::uint64_t warned = 0;  // stored with a warning
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;  // conflicts included
  std::uint64_t conflicts = 0;
  std::uint64_t retries = 0;  // attempts after the first since it was last queued
  std::uint64_t resends = 0;  // sent though a lost lease may have sent it, see EndLease
  std::uint64_t total_bytes = 0;
  std::uint64_t stored_bytes = 0;   // of stored and warned
  std::uint64_t settled_bytes = 0;  // of stored, warned, failed and skipped
  std::uint64_t store_us = 0;       // sum of the durations of the successful C-STOREs
  std::uint64_t associations = 0;

  std::uint64_t successful() const { return stored + warned; }
  std::uint64_t unsettled() const { return total - stored - warned - failed - skipped; }
};

// The reasons in SessionRecord::ignored of what could not be read, which people are told apart from what is ignored.
inline constexpr const char* kUnreadableFile = "unreadable";
inline constexpr const char* kUnreadableFolder = "unreadable_folder";
inline bool IsUnreadable(std::string_view reason) { return reason == kUnreadableFile || reason == kUnreadableFolder; }

struct SessionRecord {
  SessionKey key = 0;
  wire::OpenSession settings;  // as it was opened
  wire::SessionState state = wire::SESSION_SCANNING;
  std::string end_reason;
  std::optional<wire::SessionState> ending;  // that was asked for, see SetEnding
  bool scan_complete = false;
  WallTime start_time;
  std::optional<WallTime> end_time;              // of the last end or suspension
  Duration worked{};                             // before `run_start`, without the pauses
  std::optional<WallTime> run_start;             // nullopt: it has ended, or is suspended
  std::map<std::string, std::uint64_t> ignored;  // files that are no DICOM instance, by reason; of complete scans
  std::uint64_t studies = 0;
  Counts counts;
};

// A file or folder that could not be read during the scan, so nobody knows which instances are in it.
struct UnreadPath {
  std::string path;
  bool is_folder = false;
  std::string reason;

  friend bool operator==(const UnreadPath&, const UnreadPath&) = default;
};

struct ScanRecord {
  std::string indexer;  // name
  bool complete = false;
};

struct StudyRecord {
  StudyKey key = 0;
  SessionKey session = 0;
  std::string uid;  // Study Instance UID; empty: the group of the files that have none
  Counts counts;
  std::uint64_t unsettled_bytes = 0;
  LeaseId lease = 0;  // 0: none in force
  std::string lease_worker;
  std::uint32_t page_end = 0;     // instances below it were handed out under the lease
  std::uint32_t suspect_end = 0;  // instances below it, if unsettled, may have been sent under a lost lease
  std::optional<WallTime> first_lease_time;  // these two: the study's duration
  std::optional<WallTime> last_outcome_time;
};

// Of any lease that was ever granted, in force or not: late outcomes are facts, too.
struct LeaseRecord {
  LeaseId id = 0;
  SessionKey session = 0;
  StudyKey study = 0;
  std::string worker;
  std::string identity;               // the worker's public key (Z85), or empty
  std::uint32_t suspect_end = 0;      // of the study
  std::uint64_t last_report_seq = 0;  // 0: nothing was reported
  std::uint32_t associations = 0;     // opened under it
};

// Instances of one study that are to be sent: all of them, or those that have been added now.
struct StudyFeed {
  StudyKey study = 0;
  std::uint32_t pending = 0;  // or delayed; instances
  std::uint64_t pending_bytes = 0;
};

// Selects failed instances: all conditions that are set must hold.
struct RequeueFilter {
  std::optional<std::uint16_t> status = {};
  std::optional<std::string> study_instance_uid = {};
  std::optional<std::string> reason = {};  // the instance's reason contains it; ASCII letters match in either case
  std::optional<std::string> worker = {};  // that reported the failure
};

// A copy whose dataset is still to be compared with that of the file that is sent in its place.
struct UncomparedCopy {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;
  std::string original_path;
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

struct WorkerCount {
  std::uint64_t workers = 0;
  std::uint64_t threads = 0;  // sum of the most associations that each of them offered
};

struct InstanceFacts {
  std::uint32_t index = 0;
  InstanceState state = InstanceState::kPending;
  std::uint32_t attempts = 0;
  bool may_be_stored = false;  // an attempt was sent whole and not answered: the next sending is a resend
  std::uint64_t size_bytes = 0;
  std::uint32_t duration_us = 0;  // of the last attempt

  friend bool operator==(const InstanceFacts&, const InstanceFacts&) = default;
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

// For the reports.
struct ReportedInstance {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;  // root and relative path joined
  std::string study_instance_uid;
  std::string sop_instance_uid;
  std::optional<std::uint16_t> status;
  std::string reason;
  std::uint32_t attempts = 0;
  std::string worker;  // that reported the outcome; empty: none did
  InstanceState state = InstanceState::kPending;
};
struct PairCount {
  wire::ContextPair pair;
  std::uint64_t instances = 0;  // unsettled ones
};
struct InstanceCursor {  // the place of the last one seen
  StudyKey study = 0;
  std::optional<std::uint32_t> index;
};
struct ReasonCount {
  std::string reason;
  std::uint64_t instances = 0;
};
struct FailureReasons {
  std::vector<ReasonCount> most_frequent;  // first
  std::uint64_t distinct = 0;              // reasons in all
};

class Ledger {
 public:
  virtual ~Ledger() = default;

  virtual void Begin() = 0;
  virtual void Commit() = 0;  // durable when it returns

  // --- sessions
  virtual SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) = 0;
  virtual std::optional<SessionRecord> FindSession(std::string_view uuid) = 0;
  virtual SessionRecord LoadSession(SessionKey session) = 0;
  virtual std::vector<SessionKey> Sessions() = 0;
  // Replaces the settings; the UUID stays.
  virtual void SetSettings(SessionKey session, const wire::OpenSession& settings) = 0;
  // An indexer begins a scan: the session's scan is not complete. False, and nothing is changed, if the scan is not
  // greater than the last one of this indexer, which `scan` becomes. What it could not read is forgotten.
  virtual bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) = 0;
  // The indexer's scan is complete, if it is its last one. The session's scan is when none of its indexers is at it.
  virtual void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                            const std::map<std::string, std::uint64_t>& ignored) = 0;
  // Until its next scan, these could not be read. After BeginScan.
  virtual void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) = 0;
  // Those of all indexers, each path once, by their bytes, after `after`.
  virtual std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) = 0;
  // The last scan of each of the session's indexers, by their names.
  virtual std::vector<ScanRecord> Scans(SessionKey session) = 0;
  // `now` becomes the end time for every state but SCANNING and SENDING, which clear it and the end reason. A run
  // begins or ends with it.
  virtual void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                               WallTime now) = 0;
  // A coordinator goes on with a session that an earlier one has left open: that run ended with its last outcome.
  virtual void BeginRun(SessionKey session, WallTime now) = 0;
  // Asked for, and due when its leases have ended: SetSessionState to an end clears it. None: no longer asked for.
  virtual void SetEnding(SessionKey session, std::optional<wire::SessionState> state) = 0;
  // These are pending again with no attempts used, and nobody has reported them. Failures whose defect is known from
  // the scan stay. One StudyFeed for each study that has any.
  virtual std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) = 0;

  // --- the feed
  // Files known by (session, root path, path) are left as they are, unless their SOP Instance UID has changed: then
  // they are other files. An instance whose SOP Instance UID is known in the session is skipped as a copy, which is
  // to be compared; a copy of one that has failed is not skipped. One that has a defect fails with it. The first
  // accession number that is told of a study stays. Indices continue those of the study. One StudyFeed for each study
  // of the batch.
  virtual std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) = 0;
  // Copies that this indexer has published first, by ascending (study, index), after the cursor.
  virtual std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                                      const InstanceCursor& after, std::size_t limit) = 0;
  // Equal ones stay skipped as duplicates, others become conflicts. Comparisons of copies that are no longer to be
  // compared change nothing. All are of the session.
  virtual void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) = 0;
  // For each instance of the study that has failed, but not by a defect that the scan found, and that has a copy
  // left: the first copy is pending in its place, and the instance is skipped, or a conflict if the two differ or
  // were not compared. Further copies are from now on the copies of that one.
  virtual std::vector<PromotedCopy> PromoteCopies(StudyKey study) = 0;

  // --- studies and leases
  virtual StudyRecord LoadStudy(StudyKey study) = 0;
  // These two: by ascending key, after `after`. UnsettledStudies leaves out those that have nothing to send.
  virtual std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) = 0;
  virtual std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) = 0;
  virtual LeaseId LastLeaseId() = 0;  // the highest ever granted
  virtual std::optional<LeaseRecord> FindLease(LeaseId lease) = 0;
  // page_end becomes 0. `identity` is as in LeaseRecord.
  virtual void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                          std::uint32_t worker_capacity, WallTime now) = 0;
  // `clean`: the worker has reported everything that it sent. Otherwise suspect_end becomes at least page_end, and
  // what was handed out though it was suspect before counts as a resend, because nobody will report it. Returns
  // these.
  virtual std::uint64_t EndLease(StudyKey study, bool clean) = 0;
  // Those with a lease in force, by ascending key: after a restart.
  virtual std::vector<StudyRecord> LeasedStudies(SessionKey session) = 0;
  // A report was applied: `seq` is the last one. `associations` is the count under this lease so far: study and
  // session grow by what is new. `lease` is as FindLease returned it in the same transaction.
  virtual void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) = 0;
  // Distinct (SOP class, transfer syntax) pairs of the study's instances that can be sent, at most `limit`.
  virtual std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) = 0;

  // --- instances
  // The unsettled ones with an index >= from_index, ascending, with their roots; next_index as worker.proto says.
  // lease_id and from_index of the page are filled in.
  virtual wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) = 0;
  // Raises page_end.
  virtual void SetPageEnd(StudyKey study, std::uint32_t page_end) = 0;
  // For those of the indices that exist, in their order.
  virtual std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) = 0;
  // `before` of each change is what LoadInstances returned in the same transaction or, for a second change of an
  // instance, what the first one made of it. Throws LedgerError if an instance does not exist or has another state or
  // number of attempts. Counts of study and session follow. `now` is the outcome time of those that it settles.
  virtual void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) = 0;
  // Every unsettled instance of the study fails with this reason and no status; its attempts, may_be_stored and who
  // reported it last stay. Returns how many they are.
  virtual std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) = 0;
  // Those in one of the states, by ascending (study, index), after the cursor.
  virtual std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                               const InstanceCursor& after, std::size_t limit) = 0;
  // Of the failed instances; at most `limit` reasons, the most frequent first and ties by name.
  virtual FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) = 0;
  // Those that held a lease of the session.
  virtual WorkerCount Workers(SessionKey session) = 0;
  // What is to be sent, by SOP class and transfer syntax, in the order in which they were found.
  virtual std::vector<PairCount> PairCounts(SessionKey session) = 0;
};

}  // namespace dicom_sender
