// A library to preload into a program. It delays each open(2) of a file below SLOW_OPEN_FOLDER by 2 ms, to simulate
// storage with latency.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>

#include <chrono>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace {

constexpr std::chrono::milliseconds kLatency(2);

using Open = int (*)(const char*, int, ...);

// open(2) has a third argument only with these flags. O_TMPFILE includes the bit of O_DIRECTORY.
bool HasMode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

int OpenSlowly(const char* path, int flags, mode_t mode) {
  static const char* folder = std::getenv("SLOW_OPEN_FOLDER");
  const bool is_below = folder != nullptr && std::strncmp(path, folder, std::strlen(folder)) == 0;
  if (is_below && (flags & O_DIRECTORY) == 0) std::this_thread::sleep_for(kLatency);
  const auto real = reinterpret_cast<Open>(::dlsym(RTLD_NEXT, "open"));
  return real(path, flags, mode);
}

}  // namespace

extern "C" {
// NOLINTBEGIN(cert-dcl50-cpp): these have the shape of what they replace.
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = HasMode(flags) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return OpenSlowly(path, flags, mode);
}
// The same function for platforms where file offsets always have 64 bits.
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
// NOLINTEND(cert-dcl50-cpp)
}
