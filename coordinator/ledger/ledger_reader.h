// What can be read from the ledger: the durable record of what was found, what was leased to workers, and what the
// outcomes were. A LedgerReader changes nothing. Summaries, queries, and dry runs use it; the coordinator itself uses
// Ledger (ledger.h), which also writes.
//
// Every function throws LedgerError if the store fails: the disk is full, the file is damaged, the database is out of
// reach, or a record cannot be decoded. A comment says what else a function throws. After any exception from a
// Ledger, its memory is ahead of the disk, and the coordinator must stop using it.
//
// Reads see the changes of the open transaction, and are also allowed outside of one. Use from one thread. The memory
// that a call takes is bounded by its arguments and limits.
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

// Keys only grow and are never used twice.
using SessionKey = std::int64_t;
using StudyKey = std::int64_t;
using LeaseId = std::uint64_t;

class LedgerError : public StoreError {
 public:
  using StoreError::StoreError;
};

// Another coordinator leads on the ledger now (leadership.h): nothing of the transaction was or will be written.
class LedgerFenced : public LedgerError {
 public:
  using LedgerError::LedgerError;
};

// pending -> stored | stored_with_warning | failed | skipped, and delayed between attempts. Whether an instance is
// leased follows from its study. The numbers are stored. 6 is reserved: until schema 3 it meant instances that their
// session had left unsent.
//
// Of the files with the same SOP Instance UID, one is sent. The others are its copies, and are kSkipped or kConflict.
enum class InstanceState : std::uint8_t {
  kPending = 0,
  kDelayed = 1,
  kStored = 2,
  kStoredWithWarning = 3,
  kFailed = 4,
  kSkipped = 5,
  kConflict = 7,  // skipped, and its dataset or its study differs, or could not be compared
};
inline constexpr std::array kInstanceStates = {
    InstanceState::kPending, InstanceState::kDelayed, InstanceState::kStored,  InstanceState::kStoredWithWarning,
    InstanceState::kFailed,  InstanceState::kSkipped, InstanceState::kConflict};
constexpr bool IsSettled(InstanceState state) { return state >= InstanceState::kStored; }

// Counts of instances, kept for each study and each session, and changed with the instances in one transaction.
struct Counts {
  std::uint64_t total = 0;
  std::uint64_t stored = 0;  // without a warning
  std::uint64_t warned = 0;  // stored with a warning
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;  // includes the conflicts
  std::uint64_t conflicts = 0;
  std::uint64_t retries = 0;  // attempts after the first one since the instance was last queued
  std::uint64_t resends = 0;  // sent although a lost lease may have sent it, see Ledger::EndLease
  std::uint64_t total_bytes = 0;
  std::uint64_t stored_bytes = 0;   // of stored and warned
  std::uint64_t settled_bytes = 0;  // of stored, warned, failed and skipped
  std::uint64_t store_us = 0;       // sum of the durations of the successful C-STOREs
  std::uint64_t associations = 0;

  std::uint64_t successful() const { return stored + warned; }
  std::uint64_t unsettled() const { return total - stored - warned - failed - skipped; }
};

// The reasons in SessionRecord::ignored for what could not be read. People see these apart from what is ignored.
inline constexpr const char* kUnreadableFile = "unreadable";
inline constexpr const char* kUnreadableFolder = "unreadable_folder";
inline bool IsUnreadable(std::string_view reason) { return reason == kUnreadableFile || reason == kUnreadableFolder; }

struct SessionRecord {
  SessionKey key = 0;
  wire::OpenSession settings;  // as it was opened
  wire::SessionState state = wire::SESSION_SCANNING;
  std::string end_reason;
  std::optional<wire::SessionState> ending;  // that was requested, see Ledger::SetEnding
  bool scan_complete = false;
  WallTime start_time;
  std::optional<WallTime> end_time;              // of the last end or suspension
  Duration worked{};                             // before `run_start`, without the pauses
  std::optional<WallTime> run_start;             // nullopt: it has ended, or is suspended
  std::map<std::string, std::uint64_t> ignored;  // files that are not DICOM instances, by reason; of complete scans
  std::uint64_t studies = 0;
  Counts counts;
};

// A file or folder that the scan could not read, so its instances are unknown.
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
  std::optional<WallTime> first_lease_time;  // these two are the study's duration
  std::optional<WallTime> last_outcome_time;
};

// A lease that was granted, whether it is in force or not: an outcome that is reported late is a fact, too.
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

// Instances of one study that are to be sent: all of them, or those that were added now.
struct StudyFeed {
  StudyKey study = 0;
  std::uint32_t pending = 0;  // or delayed; instances
  std::uint64_t pending_bytes = 0;
};

// A copy that is still to be compared with the file that is sent in its place.
struct UncomparedCopy {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;
  std::string original_path;
};

struct WorkerCount {
  std::uint64_t workers = 0;
  std::uint64_t threads = 0;  // sum of the most associations that each worker offered
};

struct InstanceFacts {
  std::uint32_t index = 0;
  InstanceState state = InstanceState::kPending;
  std::uint32_t attempts = 0;
  bool may_be_stored = false;  // an attempt was sent whole and not answered: the next one counts as a resend
  std::uint64_t size_bytes = 0;
  std::uint32_t duration_us = 0;  // of the last attempt

  friend bool operator==(const InstanceFacts&, const InstanceFacts&) = default;
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
struct InstanceCursor {  // the place of the last instance that was seen
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

class LedgerReader {
 public:
  virtual ~LedgerReader() = default;

  // --- sessions
  virtual std::optional<SessionRecord> FindSession(std::string_view uuid) = 0;
  // Throws LedgerError if the session does not exist.
  virtual SessionRecord LoadSession(SessionKey session) = 0;
  // Ascending.
  virtual std::vector<SessionKey> Sessions() = 0;
  // What the last scans of all indexers could not read: each path once, ordered by its bytes, after `after`.
  virtual std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) = 0;
  // The last scan of each of the session's indexers, by their names.
  virtual std::vector<ScanRecord> Scans(SessionKey session) = 0;
  // Copies that this indexer was the first to publish, by ascending (study, index), after the cursor.
  virtual std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                                      const InstanceCursor& after, std::size_t limit) = 0;

  // --- studies and leases
  // Throws LedgerError if the study does not exist.
  virtual StudyRecord LoadStudy(StudyKey study) = 0;
  // By ascending key, after `after`.
  virtual std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) = 0;
  // By ascending key, after `after`; only those that have something to send.
  virtual std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) = 0;
  // Those with a lease in force, by ascending key. The coordinator reads them after a restart.
  virtual std::vector<StudyRecord> LeasedStudies(SessionKey session) = 0;
  // Distinct (SOP class, transfer syntax) pairs of the study's instances that can be sent, at most `limit`.
  virtual std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) = 0;
  // The highest id that was ever granted; 0: none was.
  virtual LeaseId LastLeaseId() = 0;
  virtual std::optional<LeaseRecord> FindLease(LeaseId lease) = 0;

  // --- instances
  // The unsettled instances with an index >= from_index, ascending, with their roots; next_index as worker.proto
  // says. Fills in the page's lease_id and from_index. Throws LedgerError if an instance's root or pair does not
  // exist.
  virtual wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) = 0;
  // Leaves out indices that do not exist; the others keep their order.
  virtual std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) = 0;

  // --- reports
  // Instances in one of the states, by ascending (study, index), after the cursor.
  virtual std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                               const InstanceCursor& after, std::size_t limit) = 0;
  // At most `limit` reasons of the failed instances, the most frequent first and ties by name.
  virtual FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) = 0;
  // Those that held a lease of the session.
  virtual WorkerCount Workers(SessionKey session) = 0;
  // What is to be sent, by SOP class and transfer syntax, in the order in which the pairs were found.
  virtual std::vector<PairCount> PairCounts(SessionKey session) = 0;
};

}  // namespace dicom_sender
