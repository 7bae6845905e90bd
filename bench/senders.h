// The programs that the benchmark compares, and how each is called.
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
  int associations = 1;  // at the same time
  int window = 1;        // that is proposed
  bool no_delay = true;  // TCP_NODELAY=1 in its environment, which only DCMTK looks at
};

// Names by which the aims refer to them.
inline constexpr int kWindow = 16;
inline constexpr const char* kTunedDcmsend = "dcmsend, TCP_NODELAY=1";
inline constexpr const char* kRawTransfer = "no DICOM: sendfile, 1-byte answers";
std::string NameOf(SenderProgram program, int associations, int window = 1);

// dicom-rs' dicom-storescu in PATH; empty: it is not there.
std::string DicomRsProgram();

// Those that are measured with this set and destination, on this machine.
std::vector<Sender> SendersFor(const FileSet& set, DestinationKind destination, bool with_plain_dcmsend);

std::vector<std::string> CommandOf(const Sender& sender, const std::filesystem::path& files,
                                   const std::filesystem::path& output, std::uint16_t port);

// Of the threads' time between the first study's begin and the last one's end, the part, 0 to 1, in which a thread
// had no study; from dicom-sender's log in the folder. nullopt: there is none.
std::optional<double> IdleShare(const std::filesystem::path& output, int threads);

}  // namespace dicom_sender
