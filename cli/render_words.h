// The words, numbers, and colors that all texts of a run share.
#pragma once

#include <cstdint>
#include <string>

#include "cli/render.h"
#include "common/time.h"

namespace dicom_sender::words {

inline constexpr const char* kRed = "31";
inline constexpr const char* kGreen = "32";
inline constexpr const char* kYellow = "33";

std::string Colored(std::string text, const char* code, const TerminalStyle& style);
std::string Counted(std::uint64_t count, const char* one, const char* many);
std::string Files(std::uint64_t count);  // "1 file", "2 files"
std::string Studies(std::uint64_t count);
std::string Instances(std::uint64_t count);
std::string Figure(double value);             // "9.5", "128"
std::string Milliseconds(Duration duration);  // "9.5 ms", "128 ms", "1.2 s"

}  // namespace dicom_sender::words
