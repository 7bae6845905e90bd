#include "cli/option_values.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include "common/text.h"
#include "common/unique_fd.h"
#include "common/uuid.h"
#include "dicom/limits.h"

namespace dicom_sender {
namespace {

struct Unit {
  char letter;
  std::uint64_t factor;
};
// Largest unit first.
constexpr std::array<Unit, 4> kTimeUnits = {{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}};
constexpr std::array<Unit, 3> kSizeUnits = {{{'G', 1 << 30}, {'M', 1 << 20}, {'K', 1 << 10}}};

template <typename... Args>
tl::unexpected<std::string> Wrong(fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected(fmt::format(text, std::forward<Args>(args)...));
}

// Accepts digits only: no sign, no spaces, no suffix.
std::optional<std::uint32_t> Digits(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Parses numbers with units, larger units first and each at most once ("1h30m"), or a single number without a unit.
std::optional<std::uint64_t> Seconds(std::string_view text) {
  if (const auto bare = Digits(text)) return *bare;
  std::uint64_t seconds = 0;
  std::size_t next_unit = 0;
  while (!text.empty()) {
    const std::size_t end = text.find_first_not_of("0123456789");
    if (end == std::string_view::npos) return std::nullopt;
    while (next_unit < kTimeUnits.size() && kTimeUnits[next_unit].letter != text[end]) ++next_unit;
    const auto number = Digits(text.substr(0, end));
    if (!number || next_unit == kTimeUnits.size()) return std::nullopt;
    seconds += *number * kTimeUnits[next_unit++].factor;
    text.remove_prefix(end + 1);
  }
  return next_unit > 0 ? std::optional(seconds) : std::nullopt;
}

std::optional<std::uint64_t> Bytes(std::string_view text) {
  if (const auto bare = Digits(text)) return *bare;
  if (text.empty()) return std::nullopt;
  for (const auto& [letter, factor] : kSizeUnits) {
    const auto number = Digits(text.substr(0, text.size() - 1));
    if (number && (text.back() == letter || text.back() == letter + ('a' - 'A'))) return *number * factor;
  }
  return std::nullopt;
}

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(".-_:%").find(c) != std::string_view::npos;
}

std::string ErrorText(int error) { return std::generic_category().message(error); }

}  // namespace

ValueOr<std::uint32_t> ParseNumber(std::string_view text, std::uint32_t least, std::uint32_t most) {
  const auto number = Digits(text);
  if (!number || *number < least || *number > most) {
    return Wrong("'{}' is invalid: give a whole number from {} to {}", ToPrintable(text), least, most);
  }
  return *number;
}

ValueOr<bool> ParseSwitch(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  const auto is_one_of = [&lower](const std::array<const char*, 4>& words) {
    return std::find(words.begin(), words.end(), lower) != words.end();
  };
  if (is_one_of({"true", "yes", "on", "1"})) return true;
  if (is_one_of({"false", "no", "off", "0"})) return false;
  return Wrong("'{}' is invalid: give true or false", ToPrintable(text));
}

ValueOr<std::chrono::seconds> ParseTime(std::string_view text, std::chrono::seconds least,
                                        std::chrono::seconds most) {
  const auto seconds = Seconds(text);
  if (!seconds || *seconds < static_cast<std::uint64_t>(least.count()) ||
      *seconds > static_cast<std::uint64_t>(most.count())) {
    return Wrong("'{}' is invalid: give a time from {} to {}, in seconds or with s, m, h, or d", ToPrintable(text),
                 TimeText(least), TimeText(most));
  }
  return std::chrono::seconds(*seconds);
}

ValueOr<std::uint64_t> ParseSize(std::string_view text, std::uint64_t least, std::uint64_t most) {
  const auto bytes = Bytes(text);
  if (!bytes || *bytes < least || *bytes > most) {
    return Wrong("'{}' is invalid: give a size from {} to {}, in bytes or with K, M, or G", ToPrintable(text),
                 SizeText(least), SizeText(most));
  }
  return *bytes;
}

std::string TimeText(std::chrono::seconds time) {
  auto rest = static_cast<std::uint64_t>(time.count());
  std::string text;
  for (const auto& [letter, seconds] : kTimeUnits) {
    if (rest >= seconds) text += fmt::format("{}{}", rest / seconds, letter);
    rest %= seconds;
  }
  return text.empty() ? "0s" : text;
}

std::string SizeText(std::uint64_t bytes) {
  for (const auto& [letter, unit] : kSizeUnits) {
    if (bytes >= unit && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, letter);
  }
  return std::to_string(bytes);
}

ValueOr<std::string> ParseAeTitle(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return Wrong("empty value: give an AE title of 1 to 16 characters");
  const std::string_view title = text.substr(first, text.find_last_not_of(' ') - first + 1);
  if (title.size() > kAeTitleBytesMax) {
    return Wrong("'{}' is {} characters long: an AE title has at most {}", ToPrintable(title), title.size(),
                 kAeTitleBytesMax);
  }
  for (const char c : title) {
    if (c < 0x20 || c > 0x7E || c == '\\') {
      return Wrong("'{}' is not an AE title: use printable ASCII characters other than the backslash",
                   ToPrintable(title));
    }
  }
  return std::string(title);
}

ValueOr<std::string> ParseHost(std::string_view text) {
  if (text.empty()) return Wrong("empty value: give a host name or an address");
  if (text.size() > kHostBytesMax || !std::all_of(text.begin(), text.end(), IsHostCharacter)) {
    return Wrong(
        "'{}' is not a host: give a name such as pacs.example.org or an address such as 192.0.2.7 or 2001:db8::7",
        ToPrintable(text));
  }
  if (std::count(text.begin(), text.end(), ':') == 1) {
    return Wrong("'{}' is not a host: give the host alone, and the port with --port", ToPrintable(text));
  }
  return std::string(text);
}

ValueOr<std::string> ParseAddress(std::string_view text) {
  const auto wrong = [&] {
    return Wrong("'{}' is invalid: give HOST:PORT such as 127.0.0.1:9464", ToPrintable(text));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || !ParseNumber(text.substr(colon + 1), 1, 65535)) return wrong();
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed != (host.find(':') != std::string_view::npos) || !ParseHost(host)) return wrong();
  return std::string(text);
}

ValueOr<std::string> ParseEndpoint(std::string_view text) {
  constexpr std::string_view kTcp = "tcp://";
  if (text.starts_with(kTcp) && ParseAddress(text.substr(kTcp.size()))) return std::string(text);
  return Wrong("'{}' is invalid: give tcp://HOST:PORT such as tcp://127.0.0.1:5555", ToPrintable(text));
}

ValueOr<std::string> ParseBindEndpoint(std::string_view text) {
  constexpr std::string_view kAll = "tcp://*:";
  if (text.starts_with(kAll) && ParseNumber(text.substr(kAll.size()), 1, 65535)) return std::string(text);
  return ParseEndpoint(text);
}

ValueOr<std::string> ParseUuid(std::string_view text) {
  if (!IsUuid(text)) {
    return Wrong("'{}' is not a session id: give one such as 5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a",
                 ToPrintable(text));
  }
  std::string uuid(text);
  std::transform(uuid.begin(), uuid.end(), uuid.begin(), [](char c) { return c >= 'A' && c <= 'F' ? c + 32 : c; });
  return uuid;
}

ValueOr<std::size_t> ParseChoice(std::string_view text, const std::vector<std::string_view>& words) {
  const auto word = std::find(words.begin(), words.end(), text);
  if (word != words.end()) return static_cast<std::size_t>(word - words.begin());
  return Wrong("'{}' is invalid: give {} or {}", ToPrintable(text), fmt::join(words.begin(), words.end() - 1, ", "),
               words.back());
}

tl::expected<void, std::string> CheckInput(const std::string& path) {
  if (path.empty()) return Wrong("empty value: give a file or a folder");
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return Wrong("'{}' does not exist: check the path", ToPrintable(path));
    return Wrong("'{}' cannot be read ({}): check the path and its permissions", ToPrintable(path), ErrorText(errno));
  }
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
    return Wrong("'{}' is neither a file nor a folder: give one of these", ToPrintable(path));
  }
  if (access(path.c_str(), S_ISDIR(status.st_mode) ? R_OK | X_OK : R_OK) != 0) {
    return Wrong("'{}' cannot be read ({}): check its permissions", ToPrintable(path), ErrorText(errno));
  }
  return {};
}

tl::expected<void, std::string> PrepareOutputFolder(const std::string& path, bool create) {
  if (path.empty()) return Wrong("empty value: give a folder");
  std::error_code not_created, not_there;
  if (create) std::filesystem::create_directories(path, not_created);
  if (!std::filesystem::is_directory(path, not_there)) {
    const std::error_code& error = not_created ? not_created : not_there;
    const std::string reason = error ? error.message() : "not a folder";
    return Wrong("'{}' cannot be used ({}): give a writable folder", ToPrintable(path), reason);
  }
  std::string probe = path + "/dicom_sender_XXXXXX";
  const UniqueFd fd(mkostemp(probe.data(), O_CLOEXEC));
  if (!fd.valid()) {
    return Wrong("'{}' is not writable ({}): give a writable folder", ToPrintable(path), ErrorText(errno));
  }
  unlink(probe.c_str());
  return {};
}

}  // namespace dicom_sender
