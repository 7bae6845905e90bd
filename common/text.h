// Text from outside, made fit for a log, a terminal or a JSON file; and figures for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/time.h"

namespace dicom_sender {

// What is not UTF-8 becomes U+FFFD: a file name is bytes, JSON is not.
std::string ToValidUtf8(std::string_view bytes);

// Valid UTF-8 without control characters: a newline in a path must not forge a line of the log, an escape sequence
// must not reach a terminal. They become "\n", "\x1b" and the like.
std::string ToPrintable(std::string_view bytes);

// A path below a root, as the messages of the protocol name files. An empty root adds nothing.
std::string JoinPath(const std::string& root, const std::string& path);

std::string FormatBytes(std::uint64_t bytes);   // "1.5 GiB"
std::string FormatDuration(Duration duration);  // "0.4 s", "12 s", "3 min 05 s", "2 h 07 min"

}  // namespace dicom_sender
