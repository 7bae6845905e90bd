#include "coordinator/ledger/postgresql/uri.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <map>

#include "coordinator/ledger/postgresql/postgresql_ledger.h"

namespace dicom_sender {
namespace {

using Parts = std::map<std::string, std::string>;

// The error comes from libpq and may quote any part of the URI.
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

std::string Part(const Parts& parts, const std::string& name) {
  const auto found = parts.find(name);
  return found == parts.end() ? std::string() : found->second;
}

// Returns false if the port, the host, or the database may contain a part of a password, because a character in it
// should have been %-encoded.
bool MayBeShown(const Parts& parts) {
  return Part(parts, "port").find_first_not_of("0123456789,") == std::string::npos &&
         Part(parts, "host").find('@') == std::string::npos && Part(parts, "dbname").find('@') == std::string::npos;
}

std::vector<std::string> SplitList(const std::string& list) {
  std::vector<std::string> all(1);
  for (const char c : list) {
    if (c == ',') {
      all.emplace_back();
    } else {
      all.back() += c;
    }
  }
  return all;
}

std::string ShownHost(const PostgresqlHost& host) {
  const std::string name = host.host.find(':') == std::string::npos ? host.host : "[" + host.host + "]";
  return host.port.empty() ? name : name + ":" + host.port;
}

}  // namespace

std::vector<PostgresqlHost> SplitHosts(const std::string& host, const std::string& hostaddr,
                                       const std::string& port) {
  const std::vector<std::string> names = SplitList(host), addresses = SplitList(hostaddr), ports = SplitList(port);
  const std::size_t size = hostaddr.empty() ? names.size() : addresses.size();
  const auto fits = [size](const std::vector<std::string>& list) { return list.size() == 1 || list.size() == size; };
  if ((!host.empty() && names.size() != size) || !fits(ports)) return {{host, hostaddr, port}};
  const auto at = [](const std::vector<std::string>& list, std::size_t i) {
    return list.size() == 1 ? list[0] : list[i];
  };
  std::vector<PostgresqlHost> hosts;
  for (std::size_t i = 0; i < size; ++i) hosts.push_back({at(names, i), at(addresses, i), at(ports, i)});
  return hosts;
}

tl::expected<void, std::string> CheckUri(const std::string& uri) {
  if (!IsPostgresqlUri(uri)) return tl::unexpected(std::string("a PostgreSQL URI begins with postgresql://"));
  const auto parts = Parse(uri);
  if (!parts) {
    const bool may_have_password = uri.find('@') != std::string::npos || uri.find('?') != std::string::npos;
    std::string detail = may_have_password ? "" : ": " + parts.error();
    while (detail.ends_with('\n')) detail.pop_back();
    return tl::unexpected("it is not a PostgreSQL URI (postgresql://USER@HOST:PORT/DATABASE)" + detail);
  }
  if (!MayBeShown(*parts)) {
    return tl::unexpected(std::string(
        "it is not a PostgreSQL URI (postgresql://USER@HOST:PORT/DATABASE): the port must be a number, and the host"
        " and the database must not contain an @; do not put a password into the URI"));
  }
  for (const char* secret : {"password", "sslpassword"}) {
    if (parts->contains(secret)) {
      return tl::unexpected(
          RedactedUri(uri) +
          " was given with a password, which every user on this host can see; put the password into PGPASSWORD, a"
          " password file (PGPASSFILE), or a service file");
    }
  }
  return {};
}

// Builds the URI from its known parts, so that it cannot contain anything else.
std::string RedactedUri(const std::string& uri) {
  const auto parsed = Parse(uri);
  if (!parsed || !MayBeShown(*parsed)) return "postgresql://...";
  const auto part = [&](const char* name, const char* before, const char* after) {
    const std::string value = Part(*parsed, name);
    return value.empty() ? value : before + value + after;
  };
  const bool is_folder = part("host", "", "").starts_with('/');
  std::string parameters = is_folder ? part("host", "?host=", "") + part("port", "&port=", "") : std::string();
  parameters += part("service", parameters.empty() ? "?service=" : "&service=", "");
  std::string place;
  if (!is_folder) {
    for (const PostgresqlHost& host : SplitHosts(part("host", "", ""), "", part("port", "", ""))) {
      place += (place.empty() ? "" : ",") + ShownHost(host);
    }
  }
  return "postgresql://" + part("user", "", "@") + place + part("dbname", "/", "") + parameters;
}

}  // namespace dicom_sender
