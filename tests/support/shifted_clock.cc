// A library to preload into a program. It shifts the program's wall clock by the seconds in the file $SHIFTED_CLOCK,
// which may change while the program runs.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

long Shift() {
  const char* file = getenv("SHIFTED_CLOCK");
  const int fd = file != nullptr ? open(file, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 0;
  char text[32] = {};
  const bool read_it = read(fd, text, sizeof text - 1) > 0;
  close(fd);
  return read_it ? std::strtol(text, nullptr, 10) : 0;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long result = syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += Shift();
  return static_cast<int>(result);
}
