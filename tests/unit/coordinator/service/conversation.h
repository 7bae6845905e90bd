// A conversation with the coordinator that contains every message that changes the ledger, and a service on a ledger
// file that processes it. It is deterministic: the same messages produce the same ledger.
#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

#include "coordinator/service/service.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

namespace dicom_sender {

struct Message {
  std::string name;
  std::string peer;
  std::string bytes;
};

// Covers two workers, three studies, all possible outcomes of an instance, and a session that is suspended, resumed,
// cancelled, requeued, and completed.
std::vector<Message> WholeConversation();

class ServiceOnFile {
 public:
  // Opens the ledger and continues its sessions. Throws LedgerError.
  explicit ServiceOnFile(const LedgerFile& file);

  // Processes one step. All steps happen at the same time.
  std::vector<Outgoing> Say(const Message& message);
  wire::SessionStatus Status(const std::string& session);

 private:
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Service> service_;
};

// --- single messages

inline constexpr const char* kConversationSession = "11111111-2222-4333-8444-555555555555";

Message Named(const std::string& name, wire::ClientRequest request);
Message Named(const std::string& name, const std::string& worker, wire::WorkerMessage message);
wire::ClientRequest OpenSession(const std::string& session, bool resume);
wire::ClientRequest BeginScan(const std::string& session, std::uint64_t scan);
struct Files {  // named by their numbers
  std::string folder;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};
wire::ClientRequest PublishFiles(const std::string& session, const std::string& study, const Files& files);
wire::ClientRequest ScanComplete(const std::string& session, std::uint64_t scan);
wire::WorkerMessage StatusOf(const std::string& worker, std::uint64_t seq, std::uint32_t capacity,
                             const std::vector<LeaseId>& held);
struct Responses {  // DIMSE statuses of the instances from `first` on
  std::uint32_t first = 0;
  std::vector<std::uint32_t> statuses;
};
wire::WorkerMessage ReportOf(LeaseId lease, std::uint64_t seq, const Responses& responses);
wire::WorkerMessage LastReportOf(LeaseId lease, std::uint64_t seq, const Responses& responses,
                                 wire::GiveBack::Reason reason = wire::GiveBack::DONE);

}  // namespace dicom_sender
