// Parses and formats single option values. The parsers are pure. The error says what is wrong and what to do, without
// the option's name: "'99999' is invalid: give a whole number from 1 to 65535".
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace dicom_sender {

template <typename T>
using ValueOr = tl::expected<T, std::string>;

ValueOr<std::uint32_t> ParseNumber(std::string_view text, std::uint32_t least, std::uint32_t most);
ValueOr<bool> ParseSwitch(std::string_view text);  // true false yes no on off 1 0
// Times: "90" (seconds), "90s", "10m", "1h30m", "2d".
ValueOr<std::chrono::seconds> ParseTime(std::string_view text, std::chrono::seconds least, std::chrono::seconds most);
// Sizes: "512" (bytes), "64K", "20M", "1G"; the units are powers of 1024.
ValueOr<std::uint64_t> ParseSize(std::string_view text, std::uint64_t least, std::uint64_t most);
// These return the shortest text that the parsers above accept: "1h30m", "128K".
std::string TimeText(std::chrono::seconds time);
std::string SizeText(std::uint64_t bytes);
// PS3.5 6.2, AE: 1 to 16 characters of the default repertoire without backslash and control characters, not only
// spaces. Leading and trailing spaces are not significant and are removed.
ValueOr<std::string> ParseAeTitle(std::string_view text);
ValueOr<std::string> ParseHost(std::string_view text);     // a name or an address
ValueOr<std::string> ParseAddress(std::string_view text);  // HOST:PORT, IPv6 addresses in brackets
// "tcp://HOST:PORT", IPv6 addresses in brackets. To bind, HOST is an address of this machine, or * for all of them.
ValueOr<std::string> ParseEndpoint(std::string_view text);
ValueOr<std::string> ParseBindEndpoint(std::string_view text);
ValueOr<std::string> ParseUuid(std::string_view text);  // in lower case
// Returns the index of the matching word.
ValueOr<std::size_t> ParseChoice(std::string_view text, const std::vector<std::string_view>& words);

// Fails if the path does not exist, is neither a file nor a folder, or is not readable.
tl::expected<void, std::string> CheckInput(const std::string& path);
// Checks that files can be created in the folder, and leaves none behind. `create`: creates a missing folder and its
// parents.
tl::expected<void, std::string> PrepareOutputFolder(const std::string& path, bool create);

}  // namespace dicom_sender
