// Which workers are kept from a destination that they cannot reach, or from a session's files that they cannot read,
// through a fault of their own: a missing mount, a firewall, an address that the archive does not know.
//
// A worker that fails fast is always free, so without this it would attract all the work. An entry says how often in
// a row the worker has failed with one subject and when it may try again: alone, with one lease at a time, until it
// succeeds. While no other worker succeeds either, an entry is only a suspicion and has no effect: then the
// destination is at fault.
//
// Pure; time is an argument. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// A destination by its name, or the files of a session.
using QuarantineSubject = std::variant<std::string, SessionKey>;

struct QuarantineOptions {
  Duration backoff_min = std::chrono::milliseconds(500);  // after the first failure; doubles
  Duration backoff_max = std::chrono::seconds(30);
};

// Whether the worker is at fault for its failure.
enum class Blame : std::uint8_t {
  kOpen,    // no other worker succeeds either: the entry has no effect
  kLikely,  // others are still to be asked: it is kept from the subject for the shortest pause
  kCertain  // others succeed, or the worker has failed with everything
};

struct QuarantineView {
  QuarantineSubject subject;
  std::string reason;  // of the last failure, for a person
  friend bool operator==(const QuarantineView&, const QuarantineView&) = default;
};

class Quarantine {
 public:
  explicit Quarantine(QuarantineOptions options) : options_(options) {}

  // The worker has failed with the subject. True if it counts as quarantined from now on, which it did not before.
  bool Fail(const std::string& worker, const QuarantineSubject& subject, const std::string& reason, Blame blame,
            TimePoint now);
  // It has succeeded. True if it had failed before.
  bool Succeed(const std::string& worker, const QuarantineSubject& subject);
  // Another worker has succeeded: those that were under suspicion are at fault themselves, and may show at once that
  // they are not.
  void Confirm(const QuarantineSubject& subject, TimePoint now);

  // It must not be given a lease now.
  bool Keeps(const std::string& worker, const QuarantineSubject& subject, TimePoint now) const;
  // It has failed so often in a row that asking it again about each study is pointless.
  bool IsHopeless(const std::string& worker, const QuarantineSubject& subject) const;
  // A lease that it was given; while it lasts, it gets no other one.
  void BeginTry(const std::string& worker, const QuarantineSubject& subject, LeaseId lease);
  void EndTry(const std::string& worker, const QuarantineSubject& subject, LeaseId lease);

  void ForgetWorker(const std::string& worker);
  void ForgetSubject(const QuarantineSubject& subject);

  // The entries of this worker that count as quarantined.
  std::vector<QuarantineView> Of(const std::string& worker) const;
  std::uint64_t workers() const;  // that have such an entry
  bool empty() const { return entries_.empty(); }
  // The first time after `now` at which a worker may try again.
  std::optional<TimePoint> NextTry(TimePoint now) const;

 private:
  struct Entry {
    std::uint32_t failures = 0;  // in a row
    bool in_force = false;       // it is kept from the subject
    bool confirmed = false;      // the blame was certain once
    bool shown = false;          // it has failed since, and more than once in a row
    TimePoint retry_at;
    LeaseId tried_by = 0;  // 0: no lease
    std::string reason;
  };
  using Key = std::pair<std::string, QuarantineSubject>;

  const Entry* Find(const std::string& worker, const QuarantineSubject& subject) const;

  QuarantineOptions options_;
  std::map<Key, Entry> entries_;
};

}  // namespace dicom_sender
