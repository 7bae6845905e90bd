#include "common/log.h"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <utility>

#include "common/text.h"
#include "common/time.h"

namespace dicom_sender {
namespace {

// Sinks format in the thread that logs.
thread_local LogFields current_fields;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

struct NamedField {
  const char* name;
  std::string LogFields::*value;
};
constexpr std::array<NamedField, 5> kFields = {{{"session", &LogFields::session},
                                                {"study", &LogFields::study},
                                                {"sop_instance", &LogFields::sop_instance},
                                                {"status", &LogFields::status},
                                                {"path", &LogFields::path}}};

std::string_view LevelName(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return "DEBUG";
    case spdlog::level::info:
      return "INFO";
    case spdlog::level::warn:
      return "WARN";
    default:
      return "ERROR";
  }
}

// JSON allows DEL and U+0080 to U+009F unescaped, but a terminal may interpret them.
void AppendEscaped(std::string_view json, spdlog::memory_buf_t& out) {
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto c = static_cast<unsigned char>(json[i]);
    const auto next = i + 1 < json.size() ? static_cast<unsigned char>(json[i + 1]) : 0U;
    if (c == 0x7F) {
      fmt::format_to(std::back_inserter(out), "\\u007f");
    } else if (c == 0xC2 && next < 0xA0) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", next);
      ++i;
    } else {
      out.push_back(json[i]);
    }
  }
}

// spdlog's patterns support neither these level names nor escaping.
class LineFormatter : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string time = FormatRfc3339(std::chrono::time_point_cast<std::chrono::milliseconds>(message.time));
    const std::string_view text(message.payload.data(), message.payload.size());
    if (format_ == LogFormat::kText) {
      fmt::format_to(std::back_inserter(out), "{} {:<5} {}\n", time, LevelName(message.level), ToPrintable(text));
      return;
    }
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
    const auto put = [&json](const char* key, std::string_view value) {
      json.Key(key);
      json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    };
    json.StartObject();
    put("time", time);
    put("level", LevelName(message.level));
    put("message", ToValidUtf8(text));
    for (const auto& [name, value] : kFields) {
      if (const std::string& field = current_fields.*value; !field.empty()) put(name, ToValidUtf8(field));
    }
    json.EndObject();
    AppendEscaped({buffer.GetString(), buffer.GetSize()}, out);
    out.push_back('\n');
  }

  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<LineFormatter>(format_); }

 private:
  LogFormat format_;
};

spdlog::sink_ptr MakeSink(const std::optional<std::string>& file) {
  if (file) return std::make_shared<spdlog::sinks::basic_file_sink_mt>(*file);
  return std::make_shared<spdlog::sinks::stderr_sink_mt>();
}

}  // namespace

ScopedLogFields::ScopedLogFields(const LogFields& fields) : outer_(current_fields) {
  for (const auto& field : kFields) {
    if (!(fields.*field.value).empty()) current_fields.*field.value = fields.*field.value;
  }
}

ScopedLogFields::~ScopedLogFields() { current_fields = std::move(outer_); }

tl::expected<void, std::string> OpenLog(const std::optional<std::string>& file, LogFormat format, bool verbose) {
  try {
    auto logger = std::make_shared<spdlog::logger>("log", MakeSink(file));
    logger->set_formatter(std::make_unique<LineFormatter>(format));
    logger->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
    logger->flush_on(spdlog::level::warn);
    // A full disk must not flood the terminal with errors: the ledger reports it once, and the program stops.
    logger->set_error_handler([](const std::string&) {});
    spdlog::set_default_logger(std::move(logger));
    spdlog::flush_every(std::chrono::seconds(1));
  } catch (const spdlog::spdlog_ex& error) {
    return tl::unexpected(fmt::format("the log file cannot be opened: {}", error.what()));
  }
  return {};
}

void CloseLog() {
  spdlog::default_logger()->flush();
  // Not spdlog::shutdown(): it leaves no default logger, and a late message would crash.
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("none", std::make_shared<spdlog::sinks::null_sink_mt>()));
  spdlog::flush_every(std::chrono::seconds(0));  // ends the flushing thread
}

}  // namespace dicom_sender
