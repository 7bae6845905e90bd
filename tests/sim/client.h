// Indexer and operator of one session in one process. A session may have several of these, each with different files
// of the same studies. It repeats each request until it is answered, starts over after a crash, and resumes the
// session if that has ended before everything was settled.
#pragma once

#include <memory>
#include <vector>

#include "tests/sim/channel.h"
#include "tests/sim/world.h"

namespace dicom_sender {

class SimClient {
 public:
  // Creates the session's files.
  SimClient(World& world, Checker& checker, Coordinators& coordinators, unsigned number,
            const std::string& destination);

  const std::string& name() const { return name_; }
  void Start();
  void Kill() { process_.reset(); }
  // Sends an operator's command once; it may be lost.
  void Suspend();
  void Cancel();
  void Requeue();
  void DrainWorker(const std::string& worker);
  // Whether everything is published and the session was seen complete.
  bool done() const { return process_ && process_->stage == Stage::kDone; }

 private:
  enum class Stage { kOpen, kBeginScan, kPublish, kListCopies, kCompare, kScanComplete, kWatch, kResume, kDone };
  struct Process {
    std::shared_ptr<Mailbox> mailbox;
    Stage stage = Stage::kOpen;
    Stage resumed_from = Stage::kWatch;
    std::size_t batch = 0;
    wire::CopyList copies;  // copies to compare
    std::uint64_t request_id = 0;
    std::string request;  // the current request
    bool waits = false;   // for the reply
    std::uint64_t attempt = 0;
    std::optional<SimChannel> channel;
  };

  void MakeFiles();
  void MakeStudy(unsigned study);
  void DrawFate(unsigned study, const std::string& uid);
  void AddFile(SimFile file, wire::StudyItems& study);
  void AddBatch(const wire::StudyItems& study);

  void Later(Duration delay, std::function<void()> what);
  void Ask();
  wire::ClientRequest Request();
  wire::ClientRequest Open(bool resume);
  void Send();
  void Receive(const std::string& bytes, unsigned coordinator);
  void OnReply(const wire::ClientReply& reply);
  void OnStatus(const wire::SessionStatus& status);
  void Go(Stage stage);
  void Command(wire::ClientRequest request);

  World& world_;
  Checker& checker_;
  Coordinators& coordinators_;
  const unsigned number_;
  const unsigned session_number_;
  const std::string name_;
  const std::string session_;
  const std::string destination_;
  const wire::Dispatch dispatch_;
  std::vector<wire::PublishBatch> batches_;
  std::uint64_t lives_ = 0;
  std::uint64_t commands_ = 0;
  std::shared_ptr<Process> process_;
};

}  // namespace dicom_sender
