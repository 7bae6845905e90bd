#include "bench/destination.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "tests/support/example_studies.h"
#include "tests/support/orthanc.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kStartTimeout(30), kStopTimeout(30);
constexpr int kLateMilliseconds = 20;

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1'000'000;
}

// The log has one line for each C-STORE. storescp's processes append whole lines to the log, but their standard
// output interleaves.
std::uint64_t CountOfStorescp(const std::filesystem::path& log) {
  std::ifstream file(log);
  std::uint64_t count = 0;
  for (std::string line; std::getline(file, line);) count += line.starts_with("Received Store Request") ? 1 : 0;
  return count;
}

std::filesystem::path WriteLogSettings(const std::filesystem::path& folder, const std::filesystem::path& log) {
  auto settings = folder / "storescp.cfg";
  WriteFile(settings,
            "log4cplus.rootLogger = WARN\n"
            "log4cplus.logger.dcmtk.apps.storescp = INFO, counted\n"
            "log4cplus.appender.counted = log4cplus::FileAppender\n"
            "log4cplus.appender.counted.File = " +
                log.string() +
                "\n"
                "log4cplus.appender.counted.Append = true\n"
                "log4cplus.appender.counted.layout = log4cplus::PatternLayout\n"
                "log4cplus.appender.counted.layout.ConversionPattern = %m%n\n");
  return settings;
}

struct Launch {
  std::vector<std::string> command, environment;
};

Launch LaunchOf(DestinationKind kind, std::uint16_t port, std::uint16_t http_port,
                const std::filesystem::path& folder, const std::filesystem::path& log) {
  const std::string port_text = std::to_string(port);
  Launch sink{{TEST_DESTINATION_PROGRAM, "--port", port_text, "--do", "async-window 16"}, {}};
  Launch storescp{{"storescp", "--fork", "--ignore", "--log-config", WriteLogSettings(folder, log), port_text}, {}};
  switch (kind) {
    case DestinationKind::kLateSink:
      sink.command.insert(sink.command.end(), {"--do", fmt::format("rule delay={}", kLateMilliseconds)});
      break;
    case DestinationKind::kRaw:
      return {{RAW_TRANSFER_PROGRAM, "receive", port_text}, {}};
    case DestinationKind::kStorescpNoDelay:
      storescp.environment.push_back("TCP_NODELAY=1");
      return storescp;
    case DestinationKind::kStorescp:
      return storescp;
    case DestinationKind::kOrthanc:
      return {OrthancCommand(folder, port, http_port), {}};
    case DestinationKind::kSink:
      break;
  }
  return sink;
}

bool IsOurs(DestinationKind kind) {
  return kind == DestinationKind::kSink || kind == DestinationKind::kLateSink || kind == DestinationKind::kRaw;
}

std::uint64_t NumberBehind(const std::string& text, const std::string& word) {
  const auto at = text.find(word);
  std::uint64_t number = 0;
  if (at == std::string::npos || std::sscanf(&text[at + word.size()], "%" SCNu64, &number) != 1) {
    throw std::runtime_error("the destination did not say how much it received\n" + text);
  }
  return number;
}

std::uint64_t CountOfOrthanc(std::uint16_t http_port) {
  const auto answer = RunProcess(
      {"curl", "-sSf", "--noproxy", "*", fmt::format("http://127.0.0.1:{}/statistics", http_port)}, kStopTimeout);
  return NumberBehind(answer.output + answer.errors, "\"CountInstances\" : ");
}

}  // namespace

double CpuSeconds(const rusage& usage) { return Seconds(usage.ru_utime) + Seconds(usage.ru_stime); }

// proc(5): fields 14 and 15, in ticks. The second field is the name, which contains no spaces here.
double CpuSecondsSoFar(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string skipped;
  for (int field = 1; field < 14; ++field) file >> skipped;
  double user = 0, system = 0;
  file >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::string Describe(DestinationKind kind) {
  switch (kind) {
    case DestinationKind::kSink:
      return "a sink that only answers success and grants a window of 16";
    case DestinationKind::kLateSink:
      return fmt::format("the same sink, answering {} ms late", kLateMilliseconds);
    case DestinationKind::kRaw:
      return "one byte for each file";
    case DestinationKind::kStorescp:
      return "storescp --fork --ignore";
    case DestinationKind::kStorescpNoDelay:
      return "storescp --fork --ignore with TCP_NODELAY=1";
    case DestinationKind::kOrthanc:
      return "Orthanc, which stores on disk";
  }
  return "";
}

bool IsAvailable(DestinationKind kind) {
  if (IsOurs(kind)) return true;
  return !FindProgram(kind == DestinationKind::kOrthanc ? "Orthanc" : "storescp").empty();
}

Destination::Destination(DestinationKind kind, const std::filesystem::path& folder)
    : kind_(kind), log_(folder / "storescp.log"), port_(FindFreePort()) {
  if (kind == DestinationKind::kOrthanc) http_port_ = FindFreePort();
  const Launch launch = LaunchOf(kind, port_, http_port_, folder, log_);
  process_ = std::make_unique<ChildProcess>(launch.command, launch.environment);
  for (const std::uint16_t port : {port_, http_port_}) {
    if (port == 0 || WaitForPort(port, kStartTimeout)) continue;
    throw std::runtime_error("the destination does not listen\n" + process_->Output() + process_->Errors());
  }
  cpu_at_start_ = CpuSecondsSoFar(process_->id());
}

std::uint64_t Destination::Count() const {
  return kind_ == DestinationKind::kOrthanc ? CountOfOrthanc(http_port_) : CountOfStorescp(log_);
}

Received Destination::Stop(std::uint64_t expected) {
  Received received;
  if (kind_ == DestinationKind::kOrthanc) received.cpu_seconds = CpuSecondsSoFar(process_->id()) - cpu_at_start_;
  if (!IsOurs(kind_)) {  // storescp's children may still have to write what they have already acknowledged
    const auto until = std::chrono::steady_clock::now() + kStopTimeout;
    do {
      received.instances = Count();
    } while (received.instances < expected && std::chrono::steady_clock::now() < until);
  }
  process_->Signal(SIGTERM);
  if (!process_->Wait(kStopTimeout)) throw std::runtime_error("the destination does not end");
  if (IsOurs(kind_)) received.instances = NumberBehind(process_->Output() + process_->Errors(), "received ");
  if (IsOurs(kind_)) received.cpu_seconds = CpuSeconds(process_->Usage());
  return received;
}

}  // namespace dicom_sender
