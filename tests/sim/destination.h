// The destination. It remembers what it has stored and answered, and misbehaves as the plan says.
#pragma once

#include <functional>
#include <string>

#include "tests/sim/world.h"

namespace dicom_sender {

class SimDestination {
 public:
  enum class Connected {
    kYes,
    kNoConnection,  // so the destination has not seen the request
    kAborted,
    kBusy,      // a transient rejection
    kRejected,  // a permanent rejection without a reason
    kRefused    // a permanent rejection because of the caller
  };
  struct Stored {
    enum class End { kAnswered, kLost, kLostUntouched } end = End::kLost;
    std::uint16_t status = 0;
    bool may_be_stored = false;  // for kLost: all data was sent
  };

  SimDestination(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  const std::string& name() const { return name_; }

  // While it is away, it accepts no associations, and existing ones are lost.
  void SetAway(bool away);

  // `done` is always called, even if the caller has ended by then. An empty study means a C-ECHO.
  void Connect(const std::string& worker, const std::string& study, std::function<void(Connected)> done);
  // `association` is the value of generation() when the association was opened.
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
