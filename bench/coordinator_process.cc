#include "bench/coordinator_process.h"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <stdexcept>

#include "bench/benchmark_ledger.h"
#include "bench/destination.h"
#include "common/open_files.h"
#include "coordinator/service/coordinator_loop.h"
#include "coordinator/service/metrics.h"
#include "transport/coordinator_client.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::minutes kStartTimeout(5);
constexpr unsigned kOpenFiles = 2048;

std::string EndpointOf(std::uint16_t port) { return fmt::format("tcp://127.0.0.1:{}", port); }

void AskAbout(const std::string& session, std::uint16_t port) {
  zmq::context_t context;
  CoordinatorClient client(context, {EndpointOf(port)});
  wire::ClientRequest request;
  request.mutable_get_session()->set_session(session);
  const auto reply = client.Call(std::move(request), {}, kStartTimeout);
  if (!reply) throw std::runtime_error("the coordinator did not answer after its restart: " + reply.error().reason);
}

}  // namespace

int ServeCoordinator(const std::string& place, const std::string& endpoint) {
  if (const auto allowed = AllowOpenFiles(kOpenFiles); !allowed) throw std::runtime_error(allowed.error());
  const auto ledger = OpenLedgerAt(place);
  prometheus::Registry registry;
  CoordinatorMetrics metrics(registry);
  zmq::context_t context;
  RouterChannel channel(context, endpoint);
  Service service(*ledger, {}, metrics, {});
  CoordinatorLoop loop(channel, service);
  loop.ResumeSessions();
  loop.Run({});
  return 0;
}

CoordinatorProcess::CoordinatorProcess(const std::string& ledger, std::uint16_t port, const std::string& session) {
  const auto begin = std::chrono::steady_clock::now();
  process_ = std::make_unique<ChildProcess>(
      std::vector<std::string>{"/proc/self/exe", kServeArgument, ledger, EndpointOf(port)});
  if (!WaitForPort(port, kStartTimeout)) {
    throw std::runtime_error("the coordinator did not start: " + process_->Errors());
  }
  if (!session.empty()) AskAbout(session, port);
  start_time_ = std::chrono::steady_clock::now() - begin;
}

// proc(5): the value is in KiB.
double CoordinatorProcess::PeakMebiBytes() const {
  std::ifstream file(fmt::format("/proc/{}/status", process_->id()));
  for (std::string name; file >> name;) {
    double value = 0;
    if (name == "VmHWM:" && file >> value) return value / 1024;
  }
  throw std::runtime_error("the coordinator has ended: " + process_->Errors());
}

double CoordinatorProcess::CpuSeconds() const { return CpuSecondsSoFar(process_->id()); }

void CoordinatorProcess::Kill() {
  process_->Signal(SIGKILL);
  if (!process_->Wait(kStartTimeout)) throw std::runtime_error("the coordinator cannot be killed");
}

}  // namespace dicom_sender
