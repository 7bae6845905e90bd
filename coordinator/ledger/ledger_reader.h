// The read-only interface of the ledger, which is the durable record of what was found, what was leased to workers,
// and what the outcomes were. Summaries, queries, and dry runs use it. The coordinator itself uses Ledger (ledger.h),
// which also writes.
//
// Every function throws LedgerError if the store fails: the disk is full, the file is damaged, the database is
// unreachable, or a record cannot be decoded. Comments state the other reasons for an exception. After any exception
// from a Ledger, its memory is ahead of the disk, and the coordinator must stop using it.
//
// Reads see the changes of the open transaction, and are also allowed outside of one. Not thread-safe. The arguments
// and limits bound the memory that a call takes.
#pragma once

#include <array>
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

// Keys only increase and are never reused.
using SessionKey = std::int64_t;
using StudyKey = std::int64_t;
using LeaseId = std::uint64_t;

class LedgerError : public StoreError {
 public:
  using StoreError::StoreError;
};

// Another coordinator is the leader now (leadership.h). Nothing of the transaction was or will be written.
class LedgerFenced : public LedgerError {
 public:
  using LedgerError::LedgerError;
};

// pending -> stored | stored_with_warning | failed | skipped, and delayed between attempts. The study records whether
// its instances are leased. The ledger stores the numbers. 6 is reserved: until schema 3 it marked instances that a
// session had left unsent.
//
// Only one of the files with the same SOP Instance UID is sent. The others are its copies, which are kSkipped or
// kConflict.
enum class InstanceState : std::uint8_t {
  kPending = 0,
  kDelayed = 1,
  kStored = 2,
  kStoredWithWarning = 3,
  kFailed = 4,
  kSkipped = 5,
  kConflict = 7,  // skipped, and its dataset or study differs or could not be compared
};
inline constexpr std::array kInstanceStates = {
    InstanceState::kPending, InstanceState::kDelayed, InstanceState::kStored,  InstanceState::kStoredWithWarning,
    InstanceState::kFailed,  InstanceState::kSkipped, InstanceState::kConflict};
constexpr bool IsSettled(InstanceState state) { return state >= InstanceState::kStored; }

// Counts of instances. Each study and each session has its own, which change in the same transaction as the
// instances.
struct Counts {
  std::uint64_t total = 0;
  std::uint64_t stored = 0;  // without a warning
  std::uint64_t warned = 0;  // stored with a warning
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;  // includes the conflicts
  std::uint64_t conflicts = 0;
  std::uint64_t retries = 0;  // attempts after the first one since the instance was last queued or requeued
  std::uint64_t resends = 0;  // sent although it may have been sent under a lost lease, see Ledger::EndLease()
  std::uint64_t total_bytes = 0;
  std::uint64_t stored_bytes = 0;   // of stored and warned
  std::uint64_t settled_bytes = 0;  // of stored, warned, failed and skipped
  std::uint64_t store_us = 0;       // sum of the durations of the successful C-STOREs
  std::uint64_t associations = 0;

  std::uint64_t successful() const { return stored + warned; }
  std::uint64_t unsettled() const { return total - stored - warned - failed - skipped; }
};

// The reasons in SessionRecord::ignored for what could not be read. Reports show these apart from ignored files.
inline constexpr const char* kUnreadableFile = "unreadable";
inline constexpr const char* kUnreadableFolder = "unreadable_folder";
inline bool IsUnreadable(std::string_view reason) { return reason == kUnreadableFile || reason == kUnreadableFolder; }

struct SessionRecord {
  SessionKey key = 0;
  wire::OpenSession settings;  // current settings
  wire::SessionState state = wire::SESSION_SCANNING;
  std::string end_reason;
  std::optional<wire::SessionState> ending;  // requested, see Ledger::SetEnding()
  bool scan_complete = false;
  WallTime start_time;
  std::optional<WallTime> end_time;              // of the last end or suspension
  Duration worked{};                             // active time before `run_start`, without pauses
  std::optional<WallTime> run_start;             // nullopt: ended or suspended
  std::map<std::string, std::uint64_t> ignored;  // files that are not DICOM instances, by reason; from complete scans
  std::uint64_t studies = 0;
  Counts counts;
};

// A file or folder that the scan could not read. Its instances are unknown.
struct UnreadPath {
  std::string path;
  bool is_folder = false;
  std::string reason;

  friend bool operator==(const UnreadPath&, const UnreadPath&) = default;
};

struct ScanRecord {
  std::string indexer;  // its name
  bool complete = false;
};

struct StudyRecord {
  StudyKey key = 0;
  SessionKey session = 0;
  std::string uid;  // Study Instance UID; empty for the group of files without one
  Counts counts;
  std::uint64_t unsettled_bytes = 0;
  LeaseId lease = 0;  // 0: none in force
  std::string lease_worker;
  std::uint32_t page_end = 0;     // instances below this index were handed out under the lease
  std::uint32_t suspect_end = 0;  // unsettled instances below this index may have been sent under a lost lease
  std::optional<WallTime> first_lease_time;  // these two give the study's duration
  std::optional<WallTime> last_outcome_time;
};

// A lease that was granted, in force or not. Late reports refer to leases that have ended.
struct LeaseRecord {
  LeaseId id = 0;
  SessionKey session = 0;
  StudyKey study = 0;
  std::string worker;
  std::string identity;               // the worker's public key (Z85), or empty
  std::uint32_t suspect_end = 0;      // of the study
  std::uint64_t last_report_seq = 0;  // 0: no report yet
  std::uint32_t associations = 0;     // opened under the lease
};

// The instances of a study that must be sent: all of them, or only those that were added just now.
struct StudyFeed {
  StudyKey study = 0;
  std::uint32_t pending = 0;  // number of instances, including delayed ones
  std::uint64_t pending_bytes = 0;
};

// A copy that has not been compared yet with the file that is sent in its place.
struct UncomparedCopy {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;
  std::string original_path;
};

struct WorkerCount {
  std::uint64_t workers = 0;
  std::uint64_t threads = 0;  // sum of the largest number of associations that each worker offered
};

struct InstanceFacts {
  std::uint32_t index = 0;
  InstanceState state = InstanceState::kPending;
  std::uint32_t attempts = 0;
  bool may_be_stored = false;  // an attempt was sent completely without an answer, so the next one counts as a resend
  std::uint64_t size_bytes = 0;
  std::uint32_t duration_us = 0;  // of the last attempt

  friend bool operator==(const InstanceFacts&, const InstanceFacts&) = default;
};

// An instance as the summary and lists show it.
struct ReportedInstance {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;  // root and relative path joined
  std::string study_instance_uid;
  std::string sop_instance_uid;
  std::optional<std::uint16_t> status;
  std::string reason;
  std::uint32_t attempts = 0;
  std::string worker;  // that reported the outcome; empty if none did
  InstanceState state = InstanceState::kPending;
};
struct PairCount {
  wire::ContextPair pair;
  std::uint64_t instances = 0;  // only unsettled ones
};
struct InstanceCursor {  // the last instance that was read
  StudyKey study = 0;
  std::optional<std::uint32_t> index;
};
struct ReasonCount {
  std::string reason;
  std::uint64_t instances = 0;
};
struct FailureReasons {
  std::vector<ReasonCount> most_frequent;  // in descending order
  std::uint64_t distinct = 0;              // total number of reasons
};

class LedgerReader {
 public:
  virtual ~LedgerReader() = default;

  // --- sessions
  virtual std::optional<SessionRecord> FindSession(std::string_view uuid) = 0;
  // Throws LedgerError if the session does not exist.
  virtual SessionRecord LoadSession(SessionKey session) = 0;
  // Ascending.
  virtual std::vector<SessionKey> Sessions() = 0;
  // What the last scans of all indexers could not read, after the path `after`. Each path once, in bytewise order.
  virtual std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) = 0;
  // The last scan of each of the session's indexers, in the order of their names.
  virtual std::vector<ScanRecord> Scans(SessionKey session) = 0;
  // The copies that this indexer published first, by ascending (study, index), after the cursor.
  virtual std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                                      const InstanceCursor& after, std::size_t limit) = 0;

  // --- studies and leases
  // Throws LedgerError if the study does not exist.
  virtual StudyRecord LoadStudy(StudyKey study) = 0;
  // By ascending key, after `after`.
  virtual std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) = 0;
  // By ascending key, after `after`; only studies with unsettled instances.
  virtual std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) = 0;
  // Studies with a lease in force, by ascending key. A coordinator reads them when it starts.
  virtual std::vector<StudyRecord> LeasedStudies(SessionKey session) = 0;
  // Distinct (SOP class, transfer syntax) pairs of the study's instances that can be sent, at most `limit`.
  virtual std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) = 0;
  // The highest id that was ever granted, or 0.
  virtual LeaseId LastLeaseId() = 0;
  virtual std::optional<LeaseRecord> FindLease(LeaseId lease) = 0;

  // --- instances
  // Returns the unsettled instances from `from_index` on, by ascending index, with their roots. Sets next_index as
  // described in worker.proto, and also lease_id and from_index. Throws LedgerError if the root or the pair of an
  // instance does not exist.
  virtual wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) = 0;
  // Skips indices that do not exist. Keeps the order of the others.
  virtual std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) = 0;

  // --- reports
  // Instances in one of the states, by ascending (study, index), after the cursor.
  virtual std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                               const InstanceCursor& after, std::size_t limit) = 0;
  // The reasons of the failed instances, the most frequent ones first and ties by name; at most `limit`.
  virtual FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) = 0;
  // The workers that held a lease of the session.
  virtual WorkerCount Workers(SessionKey session) = 0;
  // The number of unsettled instances by SOP class and transfer syntax, in the order in which the pairs were found.
  virtual std::vector<PairCount> PairCounts(SessionKey session) = 0;
};

}  // namespace dicom_sender
