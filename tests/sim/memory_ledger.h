// The ledger in memory, for simulations: thousands of them want to run while SQLite opens a few files. It keeps the
// ledger's contract (tests/unit/coordinator/ledger/) and forgets, as a crash would, what was not committed. Not for
// large sessions: a commit copies a pointer for each instance of a study that has changed.
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
    std::shared_ptr<const wire::Instance> file;  // as it was fed; its root is an index of `roots`
    InstanceState state = InstanceState::kPending;
    bool defect = false;
    std::uint32_t attempts = 0;
    std::optional<std::uint16_t> status;
    std::string reason;
    std::uint32_t duration_us = 0;
    bool may_be_stored = false;
    std::string worker = {};  // that reported it
  };
  struct Study {
    StudyRecord record;
    std::vector<std::shared_ptr<const Row>> rows;                 // by index; shared with earlier states
    std::vector<std::shared_ptr<const wire::ContextPair>> pairs;  // of what can be sent
  };
  struct Scan {
    std::uint64_t number = 0;
    bool complete = false;
    std::map<std::string, std::uint64_t> ignored;
  };
  using Place = std::pair<StudyKey, std::uint32_t>;  // of an instance
  struct Copy {
    Place original;
    std::string indexer;
    std::optional<bool> conflict = {};  // nullopt: not compared
    bool promoted = false;              // sent in the place of one that had failed
  };
  struct Session {
    SessionRecord record;
    std::vector<std::string> roots;
    std::map<Place, Copy> copies;
    std::map<std::string, std::map<std::string, UnreadPath>> unread;  // by path and indexer
    std::map<std::string, Scan> scans;                                // by indexer
    std::map<std::string, std::uint32_t> workers;                     // their threads
  };
  std::map<SessionKey, Session> sessions;
  std::map<StudyKey, Study> studies;
  std::map<LeaseId, LeaseRecord> leases;
};

// What survives a crash, and is the same for all coordinators.
class MemoryLedgerStore {
 public:
  // Nothing is fenced: for one coordinator alone. (Of several, whoever commits last overwrites what the others have
  // written in the meantime.)
  std::unique_ptr<Ledger> Open() { return Open(std::nullopt); }
  // Of this epoch's leader: fenced once another epoch has begun.
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
