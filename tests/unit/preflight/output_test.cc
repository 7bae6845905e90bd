#include "preflight/output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <thread>

#include "common/unique_fd.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

struct Pipe {
  explicit Pipe(int flags) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe2(ends.data(), flags), 0);
    read_end = UniqueFd(ends[0]);
    write_end = UniqueFd(ends[1]);
  }
  UniqueFd read_end, write_end;
};

TEST(Output, WaitsForASlowReader) {
  Pipe pipe(O_NONBLOCK);
  const std::string text(1 << 20, 'x');  // more than a pipe can buffer
  std::size_t got = 0;
  std::thread reader([&] {
    std::string buffer(4096, '\0');
    for (;;) {
      const ssize_t count = read(pipe.read_end.get(), buffer.data(), buffer.size());
      if (count == 0) return;
      if (count > 0) got += static_cast<std::size_t>(count);
    }
  });
  Output output(pipe.write_end.get());
  output.Write(text);
  EXPECT_TRUE(output.Finish());
  pipe.write_end = UniqueFd();
  reader.join();
  EXPECT_EQ(got, text.size());
}

TEST(Output, AClosedPipeIsNotAnErrorButAFullDiskIs) {
  const auto old = std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe(0);
  pipe.read_end = UniqueFd();
  Output closed(pipe.write_end.get());
  closed.Write("text");
  EXPECT_TRUE(closed.Finish());
  std::signal(SIGPIPE, old);

  const UniqueFd full(open("/dev/full", O_WRONLY));
  ASSERT_TRUE(full.valid());
  Output output(full.get());
  output.Write("text");
  const auto finished = output.Finish();
  ASSERT_FALSE(finished);
  EXPECT_THAT(finished.error(), HasSubstr("standard output cannot be written: No space left"));
}

}  // namespace
}  // namespace dicom_sender
