#include "cli/config_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "common/text.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kConfigBytesMax = 1 << 20;
constexpr std::size_t kDotsPerLineMax = 1000;

tl::unexpected<std::string> WrongFile(const std::string& file, std::string_view what) {
  return tl::unexpected(fmt::format("'{}' {}", ToPrintable(file), what));
}
tl::unexpected<std::string> WrongLine(const std::string& file, std::size_t line, std::string_view what) {
  return tl::unexpected(fmt::format("'{}', line {}: {}", ToPrintable(file), line, ToPrintable(what)));
}

tl::expected<std::string, std::string> ReadText(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text(kConfigBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad()) return WrongFile(file, "cannot be read: check the path");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kConfigBytesMax) {
    return WrongFile(file, fmt::format("is longer than {} bytes: is it the right file?", kConfigBytesMax));
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return WrongFile(file, "is encoded in UTF-16: save it as UTF-8");
  }
  return text;
}

// The parser descends once for each part of a dotted key, so a key with very many parts would exhaust the stack.
std::optional<std::size_t> LineWithTooManyDots(std::string_view text) {
  std::size_t line = 1, dots = 0;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      dots = 0;
      quote = 0;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
      if (c == '\\' && quote == '"') ++i;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '.' && ++dots > kDotsPerLineMax) {
      return line;
    }
  }
  return std::nullopt;
}

// The parser's words for text without quotes, such as `ae-title = ARCHIVE`.
std::string Advice(const toml::parse_error& error) {
  const bool lacks_quotes = error.description().find("could not determine value type") != std::string_view::npos;
  return lacks_quotes ? "; put text in quotes, as in ae-title = \"ARCHIVE\"" : "";
}

// Floating-point numbers and times are rejected, because the parser does not keep their text: 1.10 would become 1.1.
std::optional<std::string> TextOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* on = node.as_boolean()) return on->get() ? "true" : "false";
  return std::nullopt;
}

tl::expected<ConfigEntry, std::string> ToEntry(const std::string& file, const toml::key& key,
                                               const toml::node& node) {
  ConfigEntry entry{std::string(key.str()), key.source().begin.line, {}};
  if (node.is_table() || node.is_array_of_tables()) {
    return WrongLine(file, entry.line,
                     fmt::format("'{}' is a table: use the long names of options, such as ae-title, without sections",
                                 entry.name));
  }
  const auto add = [&entry](const toml::node& value) {
    auto text = TextOf(value);
    if (!text) return false;
    entry.values.push_back(*std::move(text));
    return true;
  };
  const toml::array* array = node.as_array();
  if (array == nullptr ? add(node) : std::all_of(array->begin(), array->end(), add)) return entry;
  return WrongLine(file, entry.line,
                   fmt::format("{}: only text, whole numbers, true, false, and arrays of these are accepted: put the "
                               "value in quotes",
                               entry.name));
}

}  // namespace

tl::expected<std::vector<ConfigEntry>, std::string> ReadConfigFile(const std::string& file) {
  const auto text = ReadText(file);
  if (!text) return tl::unexpected(text.error());
  if (const auto line = LineWithTooManyDots(*text)) {
    return WrongLine(file, *line, fmt::format("more than {} dots: is it the right file?", kDotsPerLineMax));
  }
  std::vector<ConfigEntry> entries;
  try {
    for (const auto& [key, node] : toml::parse(*text, file)) {
      auto entry = ToEntry(file, key, node);
      if (!entry) return tl::unexpected(std::move(entry.error()));
      entries.push_back(*std::move(entry));
    }
  } catch (const toml::parse_error& error) {
    return WrongLine(file, error.source().begin.line, fmt::format("{}{}", error.description(), Advice(error)));
  }
  std::ranges::sort(entries, {}, &ConfigEntry::line);
  return entries;
}

}  // namespace dicom_sender
