#include "common/host_lookup.h"

#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "common/time.h"
#include "common/wake_event.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::minutes kKeepLateAnswer(1);

HostAddresses Resolve(const std::string& host, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  if (const int problem = getaddrinfo(host.c_str(), nullptr, &hints, &found); problem != 0) {
    return {.addresses = {}, .failure = gai_strerror(problem)};
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  HostAddresses result;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    HostAddress address{.address = {}, .size = info->ai_addrlen};
    std::memcpy(&address.address, info->ai_addr, info->ai_addrlen);
    result.addresses.push_back(address);
  }
  if (result.addresses.empty()) result.failure = "the host has no address";
  return result;
}

HostAddresses Failure(const std::exception& error) { return {.addresses = {}, .failure = error.what()}; }

HostAddresses Call(const HostLookup::Resolver& resolver, const std::string& host) {
  try {
    return resolver(host);
  } catch (const std::exception& error) {
    return Failure(error);
  }
}

}  // namespace

// The registry's mutex guards the fields, unless a comment says otherwise.
struct HostLookup::Shared {
  WakeEvent done;
  HostAddresses result;     // written before `done` is raised, and never afterwards
  std::size_t waiting = 0;  // lookups that share this one
  TimePoint answered{};
};

struct HostLookup::Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Shared>> by_host;  // lookups in progress, and answers that nobody waited for

  std::pair<std::shared_ptr<Shared>, bool> Join(const std::string& host);  // true: this call created it
  void Finish(const std::string& host, Shared& shared, HostAddresses result);
};

HostAddress HostAddress::WithPort(std::uint16_t port) const {
  HostAddress result = *this;
  if (address.ss_family == AF_INET) reinterpret_cast<sockaddr_in&>(result.address).sin_port = htons(port);
  if (address.ss_family == AF_INET6) reinterpret_cast<sockaddr_in6&>(result.address).sin6_port = htons(port);
  return result;
}

HostAddresses HostLookup::AskSystem(const std::string& host) { return Resolve(host, 0); }

HostLookup::HostLookup(const std::string& host, Resolver resolver) {
  if (HostAddresses numeric = Resolve(host, AI_NUMERICHOST); !numeric.addresses.empty()) {
    immediate_ = std::move(numeric);
    return;
  }
  try {
    Start(host, std::move(resolver));
  } catch (const std::system_error& error) {  // too many open files, for example
    immediate_ = Failure(error);
  }
}

void HostLookup::Start(const std::string& host, Resolver resolver) {
  bool is_new = false;
  std::tie(shared_, is_new) = Lookups().Join(host);
  if (!is_new) return;
  try {
    std::thread([host, shared = shared_, resolver = std::move(resolver)] {
      Lookups().Finish(host, *shared, Call(resolver, host));
    }).detach();
  } catch (const std::system_error& error) {
    Lookups().Finish(host, *shared_, Failure(error));
  }
}

HostLookup::~HostLookup() {
  if (!shared_) return;
  const std::lock_guard lock(Lookups().mutex);
  --shared_->waiting;
}

// Never destroyed, because an abandoned thread may outlive main().
HostLookup::Registry& HostLookup::Lookups() {
  static auto& registry = *new Registry;
  return registry;
}

std::pair<std::shared_ptr<HostLookup::Shared>, bool> HostLookup::Registry::Join(const std::string& host) {
  const TimePoint now = MonotonicNow();
  auto fresh = std::make_shared<Shared>();  // may throw, so before anything is changed
  const std::lock_guard lock(mutex);
  std::erase_if(by_host, [now](const auto& entry) {
    return entry.second->done.raised() && now - entry.second->answered > kKeepLateAnswer;
  });
  const auto [entry, is_new] = by_host.try_emplace(host, std::move(fresh));
  const std::shared_ptr<Shared> shared = entry->second;
  ++shared->waiting;
  if (shared->done.raised()) by_host.erase(entry);  // a late answer is used once
  return {shared, is_new};
}

void HostLookup::Registry::Finish(const std::string& host, Shared& shared, HostAddresses result) {
  const std::lock_guard lock(mutex);
  shared.result = std::move(result);
  shared.answered = MonotonicNow();
  const bool is_failure = shared.result.addresses.empty();  // the name server may work again by the next lookup
  if (shared.waiting > 0 || is_failure) by_host.erase(host);
  shared.done.Raise();
}

int HostLookup::fd() const { return shared_ ? shared_->done.fd() : -1; }
bool HostLookup::done() const { return immediate_ || shared_->done.raised(); }
bool HostLookup::WaitFor(std::chrono::nanoseconds timeout) const {
  return immediate_ || shared_->done.WaitFor(timeout);
}
const HostAddresses& HostLookup::result() const {
  if (immediate_) return *immediate_;
  const std::lock_guard lock(Lookups().mutex);
  return shared_->result;
}

}  // namespace dicom_sender
