#include "common/host_lookup.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <memory>
#include <new>

#include "common/wake_event.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

HostAddresses Found(const char* ipv4) {
  HostAddress address;
  address.size = sizeof(sockaddr_in);
  auto& in = reinterpret_cast<sockaddr_in&>(address.address);
  in.sin_family = AF_INET;
  inet_pton(AF_INET, ipv4, &in.sin_addr);
  return {.addresses = {address}, .failure = {}};
}

std::string Ipv4(const HostAddress& address) {
  char text[INET_ADDRSTRLEN] = {};
  return inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr, text, sizeof text);
}

// A resolver that answers when it is told to. The thread that calls it may outlive the test.
class SlowResolver {
 public:
  HostLookup::Resolver Function() const {
    return [state = state_](const std::string&) {
      ++state->asked;
      state->may_answer.WaitFor(minutes(1));
      return Found("192.0.2.7");
    };
  }
  void Answer() { state_->may_answer.Raise(); }
  int asked() const { return state_->asked; }

 private:
  struct State {
    std::atomic<int> asked = 0;
    WakeEvent may_answer;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// As long as it exists, this process cannot open another file.
class NoMoreOpenFiles {
 public:
  NoMoreOpenFiles() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoMoreOpenFiles() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoMoreOpenFiles(const NoMoreOpenFiles&) = delete;
  NoMoreOpenFiles& operator=(const NoMoreOpenFiles&) = delete;

 private:
  rlimit before_{};
};

TEST(HostLookup, TooManyOpenFilesAreAFailureLikeAnyOther) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer opens files itself when an exception is thrown";
#endif
  const auto resolver = [](const std::string&) { return Found("192.0.2.7"); };
  {
    const NoMoreOpenFiles limit;
    EXPECT_EQ(Ipv4(HostLookup("127.0.0.1").result().addresses.at(0)), "127.0.0.1");
    const HostLookup lookup("open.example", resolver);
    EXPECT_TRUE(lookup.WaitFor(milliseconds(0)));
    EXPECT_THAT(lookup.result().failure, testing::HasSubstr("Too many open files"));
  }
  const HostLookup later("open.example", resolver);
  ASSERT_TRUE(later.WaitFor(minutes(1)));
  EXPECT_EQ(later.result().addresses.size(), 1U);
}

TEST(HostLookup, AnExceptionOfTheResolverIsAFailure) {
  const HostLookup lookup("throws.example", [](const std::string&) -> HostAddresses { throw std::bad_alloc(); });
  ASSERT_TRUE(lookup.WaitFor(minutes(1)));
  EXPECT_NE(lookup.result().failure, "");
}

TEST(HostLookup, NumericAddressesNeedNoLookup) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    const HostLookup lookup(host, [](const std::string&) { return HostAddresses{}; });
    EXPECT_TRUE(lookup.done());
    EXPECT_EQ(lookup.result().addresses.size(), 1U) << host;
  }
  EXPECT_EQ(Ipv4(HostLookup("127.0.0.1").result().addresses.at(0)), "127.0.0.1");
}

TEST(HostLookup, TheAddressIncludesThePort) {
  const HostAddress four = HostLookup("127.0.0.1").result().addresses.at(0).WithPort(104);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in*>(four.get())->sin_port, htons(104));
  const HostAddress six = HostLookup("::1").result().addresses.at(0).WithPort(11112);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in6*>(six.get())->sin6_port, htons(11112));
}

TEST(HostLookup, ResolvesNamesWithTheSystemResolver) {
  const HostLookup known("localhost"), unknown("no-such-host.invalid");
  ASSERT_TRUE(known.WaitFor(minutes(1)));
  EXPECT_FALSE(known.result().addresses.empty());
  ASSERT_TRUE(unknown.WaitFor(minutes(1)));
  EXPECT_TRUE(unknown.result().addresses.empty());
  EXPECT_NE(unknown.result().failure, "");
}

TEST(HostLookup, ASlowResolverDoesNotBlockTheCaller) {
  SlowResolver resolver;
  const HostLookup lookup("slow.example", resolver.Function());
  EXPECT_FALSE(lookup.WaitFor(milliseconds(1)));
  EXPECT_FALSE(lookup.done());
  resolver.Answer();
  EXPECT_TRUE(lookup.WaitFor(minutes(1)));
  EXPECT_EQ(Ipv4(lookup.result().addresses.at(0)), "192.0.2.7");
}

TEST(HostLookup, ConcurrentLookupsOfANameAreShared) {
  SlowResolver resolver;
  const HostLookup first("twice.example", resolver.Function()), second("twice.example", resolver.Function());
  const HostLookup other("other.example", [](const std::string&) { return Found("192.0.2.8"); });
  EXPECT_TRUE(other.WaitFor(minutes(1))) << "other names are not delayed";
  resolver.Answer();
  EXPECT_TRUE(first.WaitFor(minutes(1)));
  EXPECT_TRUE(second.WaitFor(minutes(1)));
  EXPECT_EQ(Ipv4(second.result().addresses.at(0)), "192.0.2.7");
  EXPECT_EQ(resolver.asked(), 1);
}

TEST(HostLookup, AResultThatWasReturnedIsNotCached) {
  SlowResolver resolver;
  resolver.Answer();
  for (int asked = 1; asked <= 3; ++asked) {
    const HostLookup lookup("again.example", resolver.Function());
    ASSERT_TRUE(lookup.WaitFor(minutes(1)));
    EXPECT_EQ(resolver.asked(), asked);
  }
}

TEST(HostLookup, ALateResultIsUsedByTheNextLookup) {
  SlowResolver resolver;
  { const HostLookup gone("late.example", resolver.Function()); }
  resolver.Answer();
  const HostLookup next("late.example", resolver.Function());
  ASSERT_TRUE(next.WaitFor(minutes(1)));
  EXPECT_EQ(Ipv4(next.result().addresses.at(0)), "192.0.2.7");
  EXPECT_EQ(resolver.asked(), 1);
}

}  // namespace
}  // namespace dicom_sender
