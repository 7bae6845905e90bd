// Makes untrusted text safe for logs, terminals, and JSON files, and formats sizes and durations for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/time.h"

namespace dicom_sender {

// Replaces invalid UTF-8 by U+FFFD, because a file name may hold any bytes, but JSON must be UTF-8.
std::string ToValidUtf8(std::string_view bytes);

// Returns valid UTF-8 in which control characters are escaped as "\n", "\x1b", and the like, so that a newline in a
// path cannot forge a log line and an escape sequence cannot reach a terminal.
std::string ToPrintable(std::string_view bytes);

// Joins a root and a path below it, because the protocol's messages name files by both. An empty root adds nothing.
std::string JoinPath(const std::string& root, const std::string& path);

std::string FormatBytes(std::uint64_t bytes);   // "1.5 GiB"
std::string FormatDuration(Duration duration);  // "0.4 s", "12 s", "3 min 05 s", "2 h 07 min"

}  // namespace dicom_sender
