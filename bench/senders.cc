#include "bench/senders.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace dicom_sender {
namespace {

Sender Ours(int associations, int window = 1) {
  return {NameOf(SenderProgram::kDicomSender, associations, window), SenderProgram::kDicomSender, associations,
          window};
}

// Returns the seconds of the day from "2024-09-10T15:30:15.123Z ..."; nullopt if the line does not begin with a time.
std::optional<double> TimeOf(const std::string& line) {
  int hour = 0, minute = 0;
  double second = 0;
  if (std::sscanf(line.c_str(), "%*d-%*d-%*dT%d:%d:%lfZ", &hour, &minute, &second) != 3) return std::nullopt;
  return hour * 3600 + minute * 60 + second;
}

}  // namespace

std::string NameOf(SenderProgram program, int associations, int window) {
  switch (program) {
    case SenderProgram::kDcmsend:
      return kTunedDcmsend;
    case SenderProgram::kRaw:
      return kRawTransfer;
    case SenderProgram::kDicomRs:
      return fmt::format("dicom-rs dicom-storescu -c {}", associations);
    case SenderProgram::kDicomSender:
      break;
  }
  return fmt::format("dicom-sender -t {}{}", associations, window > 1 ? ", window" : "");
}

std::string DicomRsProgram() { return FindProgram("dicom-storescu"); }

std::vector<Sender> SendersFor(const FileSet& set, DestinationKind destination, bool with_plain_dcmsend) {
  std::vector<Sender> senders;
  if (with_plain_dcmsend && set.name != "late") {
    senders.push_back({"dcmsend as installed", SenderProgram::kDcmsend, 1, 1, false});
  }
  senders.push_back({kTunedDcmsend, SenderProgram::kDcmsend});
  senders.push_back(Ours(1));
  senders.push_back(Ours(1, kWindow));
  if (set.studies == 1) return senders;  // more associations would be idle
  if (destination == DestinationKind::kLateSink) {
    for (const int associations : {4, 16}) senders.push_back(Ours(associations));
    return senders;
  }
  for (const int associations : {2, 4}) {
    senders.push_back(Ours(associations));
    if (DicomRsProgram().empty()) continue;
    senders.push_back({NameOf(SenderProgram::kDicomRs, associations), SenderProgram::kDicomRs, associations});
  }
  if (destination == DestinationKind::kSink) senders.push_back({kRawTransfer, SenderProgram::kRaw});
  return senders;
}

std::vector<std::string> CommandOf(const Sender& sender, const std::filesystem::path& files,
                                   const std::filesystem::path& output, std::uint16_t port) {
  const std::string port_text = std::to_string(port);
  switch (sender.program) {
    case SenderProgram::kDcmsend:
      return {"dcmsend", "-aec", "TEST_SCP", "--no-halt", "+sd", "+r", "127.0.0.1", port_text, files};
    case SenderProgram::kDicomRs:
      return {DicomRsProgram(),
              "--concurrency",
              std::to_string(sender.associations),
              "--called-ae-title",
              "TEST_SCP",
              "127.0.0.1:" + port_text,
              files};
    case SenderProgram::kRaw:
      return {RAW_TRANSFER_PROGRAM, "send", port_text, files};
    case SenderProgram::kDicomSender:
      break;
  }
  return {DICOM_SENDER_PROGRAM,
          "-r",
          "-i",
          files,
          "-t",
          std::to_string(sender.associations),
          "--async-window",
          std::to_string(sender.window),
          "-a",
          "TEST_SCP",
          "-H",
          "127.0.0.1",
          "-p",
          port_text,
          "--output-dir",
          output};
}

std::optional<double> IdleShare(const std::filesystem::path& output, int threads) {
  double first = 0, last = 0, busy = 0;
  bool any = false;
  for (const auto& entry : std::filesystem::directory_iterator(output)) {
    if (entry.path().extension() != ".log") continue;
    std::ifstream log(entry.path());
    for (std::string line; std::getline(log, line);) {
      const bool begins = line.find(" starting with study ") != std::string::npos;
      if (!begins && line.find(" finished with study ") == std::string::npos) continue;
      const double time = TimeOf(line).value_or(0);
      if (!any) first = time;
      any = true;
      last = time;
      busy += begins ? -time : time;
    }
  }
  if (!any || last <= first) return std::nullopt;  // also if the run crosses midnight
  return std::clamp(1 - busy / ((last - first) * threads), 0.0, 1.0);
}

}  // namespace dicom_sender
