// Values for and from a PostgreSQL server, in its binary format.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct pg_result;

namespace dicom_sender {

// EncodedText() makes text out of any bytes: a NUL or a byte that is not UTF-8 becomes \xNN, and a backslash becomes
// two. DecodedText() restores exactly the same bytes, so that different names always stay different.
std::string EncodedText(std::string_view bytes);
std::string DecodedText(std::string_view text);

// The rows that a statement returned.
class PostgresqlRows {
 public:
  explicit PostgresqlRows(pg_result* result);  // may be null

  int size() const;
  std::uint64_t affected() const;  // by INSERT, UPDATE or DELETE
  std::string_view tag() const;    // "COMMIT", "INSERT 0 1"
  bool IsNull(int row, int column) const;
  std::int64_t Int(int row, int column) const;        // smallint, integer, bigint, boolean
  std::string_view Bytes(int row, int column) const;  // bytea; valid as long as this object
  std::string Text(int row, int column) const;        // decoded
  const pg_result* get() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

// The parameter values of a statement. All numbers are bigint, so statements use $1::bigint or $1::bigint[].
class PostgresqlValues {
 public:
  PostgresqlValues& Int(std::int64_t value);
  PostgresqlValues& Int(std::optional<std::int64_t> value);
  PostgresqlValues& Text(std::string_view text);  // encodes it
  PostgresqlValues& TextOrNull(const std::optional<std::string>& text);
  PostgresqlValues& Bytes(std::string_view bytes);  // bytea
  PostgresqlValues& Ints(const std::vector<std::int64_t>& values);
  PostgresqlValues& Texts(const std::vector<std::string>& texts);            // must be encoded already
  PostgresqlValues& ByteStrings(const std::vector<std::string_view>& many);  // bytea[]

 private:
  friend class PostgresqlConnection;
  std::vector<std::optional<std::string>> values_;
};

// Rows for Copy(), which is the fastest way to insert. Each value must have the type of its column.
class PostgresqlCopy {
 public:
  PostgresqlCopy();
  void Row(int columns);              // begins a row
  void Smallint(std::int64_t value);  // these two throw LedgerError if the value does not fit
  void Integer(std::int64_t value);
  void Bigint(std::int64_t value);
  void Bytes(std::string_view bytes);  // bytea, or text that is encoded already
  void Null();

 private:
  friend class PostgresqlConnection;
  void End();
  std::string data_;
};

}  // namespace dicom_sender
