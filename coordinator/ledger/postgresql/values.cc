#include "coordinator/ledger/postgresql/values.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "common/text.h"
#include "coordinator/ledger/ledger_reader.h"

namespace dicom_sender {
namespace {

constexpr std::uint32_t kBigintOid = 20, kTextOid = 25, kByteaOid = 17;

// --- the binary format: big-endian numbers

template <class Number>
void Append(std::string& out, Number number) {
  for (int shift = sizeof(Number) * 8 - 8; shift >= 0; shift -= 8) {
    out += static_cast<char>(static_cast<std::uint64_t>(number) >> shift & 0xFF);
  }
}

template <class Number>
Number Fitting(std::int64_t value) {
  if (!std::in_range<Number>(value)) {
    throw LedgerError(fmt::format("the number {} does not fit into its column of the ledger", value));
  }
  return static_cast<Number>(value);
}

std::string ArrayHead(std::uint32_t element_oid, std::size_t size) {
  std::string out;
  Append<std::int32_t>(out, 1);  // dimensions
  Append<std::int32_t>(out, 0);  // no NULLs
  Append<std::uint32_t>(out, element_oid);
  Append<std::int32_t>(out, static_cast<std::int32_t>(size));
  Append<std::int32_t>(out, 1);  // the first index
  return out;
}

template <class Strings>
std::string ArrayOf(std::uint32_t element_oid, const Strings& strings) {
  std::string out = ArrayHead(element_oid, strings.size());
  for (const auto& bytes : strings) {
    Append<std::int32_t>(out, static_cast<std::int32_t>(bytes.size()));
    out += bytes;
  }
  return out;
}

}  // namespace

// --- text

std::string EncodedText(std::string_view bytes) {
  std::string out = ToValidUtf8(bytes);
  if (out == bytes && out.find('\0') == std::string::npos && out.find('\\') == std::string::npos) return out;
  out.clear();
  while (!bytes.empty()) {
    const auto first = static_cast<unsigned char>(bytes[0]);
    const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    const std::string_view sequence = bytes.substr(0, length);
    const bool is_valid = first != 0 && ToValidUtf8(sequence) == sequence;
    if (first == '\\') {
      out += "\\\\";
    } else if (is_valid) {
      out += sequence;
    } else {
      out += fmt::format("\\x{:02X}", first);
    }
    bytes.remove_prefix(is_valid ? length : 1);
  }
  return out;
}

std::string DecodedText(std::string_view text) {
  std::string out;
  for (std::size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\')) {
    unsigned byte = '\\';
    const char* hex = text.data() + at + 2;
    const bool is_byte =
        text.size() >= at + 4 && text[at + 1] == 'x' && std::from_chars(hex, hex + 2, byte, 16).ptr == hex + 2;
    out += text.substr(0, at);
    out += static_cast<char>(byte);
    text.remove_prefix(std::min<std::size_t>(at + (is_byte ? 4 : 2), text.size()));
  }
  return out += text;
}

// --- rows and values

void PostgresqlRows::Clear::operator()(pg_result* result) const { PQclear(result); }
PostgresqlRows::PostgresqlRows(pg_result* result) : result_(result) {}

int PostgresqlRows::size() const { return PQntuples(result_.get()); }
std::uint64_t PostgresqlRows::affected() const {
  return std::strtoull(PQcmdTuples(result_.get()), nullptr, 10);  // empty: 0
}
std::string_view PostgresqlRows::tag() const { return PQcmdStatus(result_.get()); }
bool PostgresqlRows::IsNull(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }

std::int64_t PostgresqlRows::Int(int row, int column) const {
  const std::string_view bytes = Bytes(row, column);
  if (bytes.empty()) return 0;
  auto value = std::int64_t{static_cast<signed char>(bytes[0])};
  for (const char c : bytes.substr(1)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::string_view PostgresqlRows::Bytes(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}
std::string PostgresqlRows::Text(int row, int column) const { return DecodedText(Bytes(row, column)); }

PostgresqlValues& PostgresqlValues::Int(std::int64_t value) {
  Append(values_.emplace_back(std::in_place).value(), value);
  return *this;
}
PostgresqlValues& PostgresqlValues::Int(std::optional<std::int64_t> value) {
  if (value) return Int(*value);
  values_.emplace_back();
  return *this;
}
PostgresqlValues& PostgresqlValues::Text(std::string_view text) {
  values_.emplace_back(EncodedText(text));
  return *this;
}
PostgresqlValues& PostgresqlValues::TextOrNull(const std::optional<std::string>& text) {
  values_.push_back(text ? std::optional(EncodedText(*text)) : std::nullopt);
  return *this;
}
PostgresqlValues& PostgresqlValues::Bytes(std::string_view bytes) {
  values_.emplace_back(bytes);
  return *this;
}
PostgresqlValues& PostgresqlValues::Ints(const std::vector<std::int64_t>& values) {
  std::string& out = values_.emplace_back(ArrayHead(kBigintOid, values.size())).value();
  out.reserve(out.size() + values.size() * 12);
  for (const std::int64_t value : values) {
    Append<std::int32_t>(out, sizeof value);
    Append(out, value);
  }
  return *this;
}
PostgresqlValues& PostgresqlValues::Texts(const std::vector<std::string>& texts) {
  values_.emplace_back(ArrayOf(kTextOid, texts));
  return *this;
}
PostgresqlValues& PostgresqlValues::ByteStrings(const std::vector<std::string_view>& many) {
  values_.emplace_back(ArrayOf(kByteaOid, many));
  return *this;
}

PostgresqlCopy::PostgresqlCopy() : data_("PGCOPY\n\xFF\r\n\0", 11) {
  Append<std::int32_t>(data_, 0);  // flags
  Append<std::int32_t>(data_, 0);  // length of the header extension
}
void PostgresqlCopy::Row(int columns) { Append(data_, static_cast<std::int16_t>(columns)); }
void PostgresqlCopy::Smallint(std::int64_t value) {
  Append<std::int32_t>(data_, sizeof(std::int16_t));
  Append(data_, Fitting<std::int16_t>(value));
}
void PostgresqlCopy::Integer(std::int64_t value) {
  Append<std::int32_t>(data_, sizeof(std::int32_t));
  Append(data_, Fitting<std::int32_t>(value));
}
void PostgresqlCopy::Bigint(std::int64_t value) {
  Append<std::int32_t>(data_, sizeof value);
  Append(data_, value);
}
void PostgresqlCopy::Bytes(std::string_view bytes) {
  Append(data_, static_cast<std::int32_t>(bytes.size()));
  data_ += bytes;
}
void PostgresqlCopy::Null() { Append<std::int32_t>(data_, -1); }
void PostgresqlCopy::End() { Append<std::int16_t>(data_, -1); }

}  // namespace dicom_sender
