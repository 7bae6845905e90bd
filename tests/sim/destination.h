// The destination: keeps in mind what it has stored and what it has answered, and misbehaves as the plan says.
#pragma once

#include <functional>
#include <string>

#include "tests/sim/world.h"

namespace dicom_sender {

class SimDestination {
 public:
  enum class Connected {
    kYes,
    kNoConnection,  // so it has not seen what was asked for
    kAborted,
    kBusy,      // rejected for now
    kRejected,  // for good, without a reason
    kRefused    // for good, because of who asks
  };
  struct Stored {
    enum class End { kAnswered, kLost, kLostUntouched } end = End::kLost;
    std::uint16_t status = 0;
    bool may_be_stored = false;  // of kLost: all of it was sent
  };

  SimDestination(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  const std::string& name() const { return name_; }

  // Away: it takes no association, and those that it has are gone.
  void SetAway(bool away);

  // `done` follows always, though whoever asked may be dead by then. Without a study it is for a C-ECHO.
  void Connect(const std::string& worker, const std::string& study, std::function<void(Connected)> done);
  // `association` is what generation() was when it was opened.
  void Store(const std::string& worker, std::uint64_t association, const std::string& study,
             const std::string& sop_instance_uid, std::function<void(Stored)> done);
  std::uint64_t generation() const { return generation_; }

 private:
  void Take(const std::string& worker, StudyFate fate, const std::string& uid,
            const std::function<void(Stored)>& done);
  Connected Negotiate(const std::string& worker, const std::string& study);
  bool IsOutOfReach(const std::string& worker) const;
  StudyFate FateOf(const std::string& study) const;
  std::uint16_t DrawStatus(StudyFate fate);
  void Answer(const std::string& worker, const std::string& uid, std::uint16_t status,
              const std::function<void(Stored)>& done);
  void Lose(const std::string& uid, bool sent_whole, Duration after, const std::function<void(Stored)>& done);
  Duration Transit() { return world_.random.Between(std::chrono::milliseconds(1), world_.plan.transit_max); }

  World& world_;
  const std::string name_;
  bool away_ = false;
  std::uint64_t generation_ = 1;
};

}  // namespace dicom_sender
