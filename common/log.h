// The log: a file, or standard error. Everywhere else, code calls spdlog::info() and its like.
//
// Text: "2024-09-10T15:30:15.123Z INFO  message", UTC, one line for each message. JSON: one object for each line with
// "time", "level", "message". Control characters of messages are escaped in both. UIDs and paths yes; names and ids
// of patients never.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

namespace dicom_sender {

enum class LogFormat { kText, kJson };

// Makes the file spdlog's default logger; appends to one that exists. The error is one sentence. What was logged is
// in the file within a second, warnings at once. Without a file it goes to standard error, at once: for programs that
// run as services.
tl::expected<void, std::string> OpenLog(const std::optional<std::string>& file, LogFormat format, bool verbose);
// Flushes, and logs nothing more.
void CloseLog();

}  // namespace dicom_sender
