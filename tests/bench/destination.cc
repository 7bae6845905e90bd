#include "tests/bench/destination.h"

#include <signal.h>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "tests/support/example_studies.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kStartTimeout(30), kStopTimeout(30);

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1'000'000;
}

// One line in the log for each C-STORE. Its processes append whole lines, while what they print gets mixed up.
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

std::unique_ptr<ChildProcess> Start(DestinationKind kind, std::uint16_t port, const std::filesystem::path& folder,
                                    const std::filesystem::path& log) {
  const std::string port_text = std::to_string(port);
  if (kind == DestinationKind::kSink) {
    return std::make_unique<ChildProcess>(std::vector<std::string>{TEST_DESTINATION_PROGRAM, "--port", port_text});
  }
  std::vector<std::string> environment;
  if (kind == DestinationKind::kStorescpNoDelay) environment.push_back("TCP_NODELAY=1");
  return std::make_unique<ChildProcess>(std::vector<std::string>{"storescp", "--fork", "--ignore", "--log-config",
                                                                 WriteLogSettings(folder, log), port_text},
                                        environment);
}

}  // namespace

double CpuSeconds(const rusage& usage) { return Seconds(usage.ru_utime) + Seconds(usage.ru_stime); }

std::string Describe(DestinationKind kind) {
  switch (kind) {
    case DestinationKind::kSink:
      return "a sink that only answers success";
    case DestinationKind::kStorescp:
      return "storescp --fork --ignore";
    case DestinationKind::kStorescpNoDelay:
      return "storescp --fork --ignore with TCP_NODELAY=1";
  }
  return "";
}

Destination::Destination(DestinationKind kind, const std::filesystem::path& folder)
    : kind_(kind), log_(folder / "storescp.log"), port_(FindFreePort()), process_(Start(kind, port_, folder, log_)) {
  if (!WaitForPort(port_, kStartTimeout)) {
    throw std::runtime_error("the destination does not listen\n" + process_->Output() + process_->Errors());
  }
}

Received Destination::Stop(std::uint64_t expected) {
  Received received;
  if (kind_ != DestinationKind::kSink) {  // its children may still have to write what they have answered
    const auto until = std::chrono::steady_clock::now() + kStopTimeout;
    do {
      received.instances = CountOfStorescp(log_);
    } while (received.instances < expected && std::chrono::steady_clock::now() < until);
  }
  process_->Signal(SIGTERM);
  if (!process_->Wait(kStopTimeout)) throw std::runtime_error("the destination does not end");
  if (kind_ != DestinationKind::kSink) return received;
  const std::string output = process_->Output();
  const auto line = output.find("received ");
  if (line == std::string::npos || std::sscanf(&output[line], "received %" SCNu64, &received.instances) != 1) {
    throw std::runtime_error("the sink did not say how much it received\n" + output + process_->Errors());
  }
  received.cpu_seconds = CpuSeconds(process_->Usage());
  return received;
}

}  // namespace dicom_sender
