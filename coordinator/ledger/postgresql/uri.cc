#include <fmt/format.h>
#include <libpq-fe.h>

#include <map>

#include "coordinator/ledger/postgresql/postgresql_ledger.h"

namespace dicom_sender {
namespace {

using Parts = std::map<std::string, std::string>;

// The error is libpq's, which may quote any part of the URI.
tl::expected<Parts, std::string> Parse(const std::string& uri) {
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(PQconninfoParse(uri.c_str(), &error),
                                                                               PQconninfoFree);
  const std::unique_ptr<char, void (*)(void*)> error_owner(error, PQfreemem);
  if (!options) return tl::unexpected(std::string(error != nullptr ? error : "out of memory"));
  Parts parts;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && *option->val != '\0') parts[option->keyword] = option->val;
  }
  return parts;
}

}  // namespace

bool IsPostgresqlUri(std::string_view text) {
  return text.starts_with("postgresql://") || text.starts_with("postgres://");
}

tl::expected<void, std::string> CheckUri(const std::string& uri) {
  if (!IsPostgresqlUri(uri)) return tl::unexpected(std::string("a URI of PostgreSQL begins with postgresql://"));
  const auto parts = Parse(uri);
  if (!parts) {
    const bool may_have_password = uri.find('@') != std::string::npos || uri.find('?') != std::string::npos;
    std::string detail = may_have_password ? "" : ": " + parts.error();
    while (detail.ends_with('\n')) detail.pop_back();
    return tl::unexpected("it is no URI of PostgreSQL, postgresql://USER@HOST:PORT/DATABASE" + detail);
  }
  for (const char* secret : {"password", "sslpassword"}) {
    if (parts->contains(secret)) {
      return tl::unexpected(
          RedactedUri(uri) +
          " was given with a password, which everybody on this host can see: put the password into PGPASSWORD, a"
          " password file (PGPASSFILE) or a service file");
    }
  }
  return {};
}

// Made anew from its parts, so that nothing else can be in it.
std::string RedactedUri(const std::string& uri) {
  auto parts = Parse(uri);
  if (!parts) return "postgresql://...";
  const auto part = [&](const char* name, const char* before, const char* after) {
    const auto found = parts->find(name);
    return found == parts->end() ? std::string() : before + found->second + after;
  };
  const bool is_folder = part("host", "", "").starts_with('/');
  std::string parameters = is_folder ? part("host", "?host=", "") + part("port", "&port=", "") : std::string();
  parameters += part("service", parameters.empty() ? "?service=" : "&service=", "");
  const std::string place = is_folder ? "" : part("host", "", "") + part("port", ":", "");
  return "postgresql://" + part("user", "", "@") + place + part("dbname", "/", "") + parameters;
}

}  // namespace dicom_sender
