// The log: a file, or standard error. Everywhere else, code calls spdlog::info() and its like.
//
// Text: "2024-09-10T15:30:15.123Z INFO  message", UTC, one line for each message. JSON: one object for each line with
// "time", "level", "message", and what the message is about: "session", "study", "sop_instance", "status", "path",
// each only where it is known (ScopedLogFields). Control characters of messages are escaped in both. UIDs and paths
// yes; names and ids of patients never.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

namespace dicom_sender {

// What a JSON line says beside its message. An empty field is left out.
struct LogFields {
  std::string session = {};  // UUID
  std::string study = {};    // Study Instance UID
  std::string sop_instance = {};
  std::string status = {};  // DIMSE status: "A700"
  std::string path = {};
};

// While it lives, what its thread logs has these fields, beside those of the scopes around it.
class ScopedLogFields {
 public:
  explicit ScopedLogFields(const LogFields& fields);
  ~ScopedLogFields();
  ScopedLogFields(const ScopedLogFields&) = delete;
  ScopedLogFields& operator=(const ScopedLogFields&) = delete;

 private:
  LogFields outer_;
};

enum class LogFormat { kText, kJson };

// Makes the file spdlog's default logger; appends to one that exists. The error is one sentence. What was logged is
// in the file within a second, warnings at once. Without a file it goes to standard error, at once: for programs that
// run as services.
tl::expected<void, std::string> OpenLog(const std::optional<std::string>& file, LogFormat format, bool verbose);
// Flushes, and logs nothing more.
void CloseLog();

}  // namespace dicom_sender
