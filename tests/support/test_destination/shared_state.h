// The shared state of a test destination's associations: the behavior, its counts, the log.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "dicom/network/pdu.h"
#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {

class SharedState {
 public:
  SharedState(DestinationOptions options, DestinationBehaviour behaviour);

  const DestinationOptions& options() const { return options_; }
  // Set while Stop is running: associations that end then were ended by us.
  void SetStopping(bool stopping) { stopping_ = stopping; }
  bool stopping() const { return stopping_; }
  void SetBehaviour(DestinationBehaviour behaviour);
  DestinationBehaviour Behaviour() const;
  DestinationLog Log() const;
  bool WaitFor(const std::function<bool(const DestinationLog&)>& condition, std::chrono::milliseconds timeout) const;

  struct Admission {
    AssociationRecord record;
    std::optional<Rejection> rejection;
    DestinationBehaviour behaviour;  // the current behavior, without the rules
  };
  // Counts the association as open unless it is rejected.
  Admission Admit(const AssociateRequest& request, const std::string& address);
  // Called as soon as the result of Admit is negotiated, and again through End when the association is over.
  void Update(const AssociationRecord& record);
  void End(AssociationRecord record, AssociationEnd end);

  // Returns the rule for the next C-STORE; the default one if none matches.
  InstanceRule RuleFor(const std::string& sop_instance_uid, std::uint64_t nth_of_association);
  void Settle(InstanceRecord record);

 private:
  struct RuleCounts {
    std::uint64_t matches = 0;
    std::unordered_map<std::string, std::uint64_t> of_instance;
  };
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::optional<Rejection> JudgeLocked(const AssociateRequest& request, const AssociationRecord& record);
  bool MatchesLocked(const InstanceRule& rule, RuleCounts& counts, const std::string& uid, std::uint64_t nth);
  void WriteLocked(const std::string& line);

  const DestinationOptions options_;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  DestinationBehaviour behaviour_;
  std::uint64_t rejected_ = 0;  // by `reject`, since SetBehaviour
  std::vector<RuleCounts> rule_counts_;
  std::uint64_t stores_ = 0;
  DestinationLog log_;
  std::unique_ptr<std::FILE, CloseFile> file_;
};

}  // namespace dicom_sender
