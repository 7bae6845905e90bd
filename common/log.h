// Sets up the log, which is a file or standard error. All other code calls spdlog::info() and the like.
//
// Text: "2024-09-10T15:30:15.123Z INFO  message" in UTC, one line per message. JSON: one object per line with "time",
// "level", "message", and what the message is about: "session", "study", "sop_instance", "status", and "path", each
// only if it is known (ScopedLogFields). Both formats escape control characters. The log contains UIDs and paths, but
// never patient names or patient IDs.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

namespace dicom_sender {

// The fields of a JSON line besides its message. Empty fields are omitted.
struct LogFields {
  std::string session = {};  // UUID
  std::string study = {};    // Study Instance UID
  std::string sop_instance = {};
  std::string status = {};  // DIMSE status: "A700"
  std::string path = {};
};

// While the object exists, everything that its thread logs has these fields, in addition to those of enclosing
// scopes.
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

// Makes the file spdlog's default logger and appends if it exists. The error is one sentence. Messages reach the file
// within 1 s, warnings and errors at once. Without a file, the log goes to standard error unbuffered, as services do.
tl::expected<void, std::string> OpenLog(const std::optional<std::string>& file, LogFormat format, bool verbose);
// Flushes the log. Later messages are discarded.
void CloseLog();

}  // namespace dicom_sender
