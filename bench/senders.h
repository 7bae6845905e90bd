// The programs that the benchmark compares, and their command lines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/destination.h"
#include "bench/file_set.h"

namespace dicom_sender {

enum class SenderProgram { kDcmsend, kDicomSender, kDicomRs, kRaw };

struct Sender {
  std::string name;
  SenderProgram program = SenderProgram::kDicomSender;
  int associations = 1;  // concurrent
  int window = 1;        // proposed
  bool no_delay = true;  // TCP_NODELAY=1 in its environment, which only DCMTK's programs read
};

// The names by which the goals refer to the senders.
inline constexpr int kWindow = 16;
inline constexpr const char* kTunedDcmsend = "dcmsend, TCP_NODELAY=1";
inline constexpr const char* kRawTransfer = "no DICOM: sendfile, 1-byte answers";
std::string NameOf(SenderProgram program, int associations, int window = 1);

// The path of dicom-rs' dicom-storescu in PATH; empty if it is not installed.
std::string DicomRsProgram();

// The senders to measure with this set and destination on this machine.
std::vector<Sender> SendersFor(const FileSet& set, DestinationKind destination, bool with_plain_dcmsend);

std::vector<std::string> CommandOf(const Sender& sender, const std::filesystem::path& files,
                                   const std::filesystem::path& output, std::uint16_t port);

// Returns the share (0 to 1) of the threads' time, from the beginning of the first study to the end of the last one,
// in which a thread had no study. Reads dicom-sender's log in the folder; nullopt if that has no studies.
std::optional<double> IdleShare(const std::filesystem::path& output, int threads);

}  // namespace dicom_sender
