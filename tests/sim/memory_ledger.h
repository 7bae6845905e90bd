// An in-memory ledger for simulations, which run thousands of sessions in the time in which SQLite opens a few files.
// It fulfills the ledger's contract (tests/unit/coordinator/ledger/) and, as after a crash, loses uncommitted
// changes. Not for large sessions: a commit copies one pointer per instance of each changed study.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/ledger/leadership.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct MemoryLedgerState {
  struct Row {
    std::shared_ptr<const wire::Instance> file;  // as published; its root is an index into `roots`
    InstanceState state = InstanceState::kPending;
    bool defect = false;
    std::uint32_t attempts = 0;
    std::optional<std::uint16_t> status;
    std::string reason;
    std::uint32_t duration_us = 0;
    bool may_be_stored = false;
    std::string worker = {};  // the worker that reported the outcome
  };
  struct Study {
    StudyRecord record;
    std::vector<std::shared_ptr<const Row>> rows;                 // by index; shared with earlier states
    std::vector<std::shared_ptr<const wire::ContextPair>> pairs;  // of sendable instances
  };
  struct Scan {
    std::uint64_t number = 0;
    bool complete = false;
    std::map<std::string, std::uint64_t> ignored;
  };
  using Place = std::pair<StudyKey, std::uint32_t>;  // the place of an instance
  struct Copy {
    Place original;
    std::string indexer;
    std::optional<bool> conflict = {};  // nullopt: not compared yet
    bool promoted = false;              // sent in place of a failed original
  };
  struct Session {
    SessionRecord record;
    std::vector<std::string> roots;
    std::map<Place, Copy> copies;
    std::map<std::string, std::map<std::string, UnreadPath>> unread;  // by path and indexer
    std::map<std::string, Scan> scans;                                // by indexer
    std::map<std::string, std::uint32_t> workers;                     // the number of their threads
  };
  std::map<SessionKey, Session> sessions;
  std::map<StudyKey, Study> studies;
  std::map<LeaseId, LeaseRecord> leases;
};

// The state that survives a crash and that all coordinators share.
class MemoryLedgerStore {
 public:
  // Creates a ledger without a fence, for a single coordinator. (If there are several, the last commit overwrites the
  // changes of the others.)
  std::unique_ptr<Ledger> Open() { return Open(std::nullopt); }
  // Creates the ledger of this epoch's leader: it is fenced as soon as another epoch begins.
  std::unique_ptr<Ledger> Open(std::uint64_t epoch) { return Open(std::optional(epoch)); }
  std::unique_ptr<Leadership> OpenLeadership(Duration leader_timeout);

  struct Committed {
    MemoryLedgerState state;
    std::uint64_t commits = 0;  // so far
    LeaderRecord leader;
  };

 private:
  std::unique_ptr<Ledger> Open(std::optional<std::uint64_t> epoch);

  std::shared_ptr<Committed> committed_ = std::make_shared<Committed>();
};

}  // namespace dicom_sender
