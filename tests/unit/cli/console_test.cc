#include "cli/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <map>
#include <thread>
#include <vector>

#include "common/unique_fd.h"

namespace dicom_sender {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

class Pipe {
 public:
  Pipe() {
    std::array<int, 2> fds{};
    if (pipe2(fds.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw std::runtime_error("pipe");
    read_ = UniqueFd(fds[0]);
    write_ = UniqueFd(fds[1]);
  }
  int fd() const { return write_.get(); }
  void CloseReader() { read_.reset(); }
  // Returns the output since the last call.
  std::string Read() {
    std::string text;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(read_.get(), buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(got));
    return text;
  }

 private:
  UniqueFd read_, write_;
};

// Returns the lines that a terminal would show. Supports carriage returns and "erase to the end of the line".
std::vector<std::string> Screen(const std::string& output) {
  std::vector<std::string> lines(1);
  std::size_t column = 0;
  for (std::size_t i = 0; i < output.size(); ++i) {
    if (output.compare(i, 3, "\x1b[K") == 0) {
      lines.back().resize(column);
      i += 2;
    } else if (output[i] == '\r') {
      column = 0;
    } else if (output[i] == '\n') {
      lines.emplace_back();
      column = 0;
    } else {
      lines.back().resize(std::max(lines.back().size(), column + 1), ' ');
      lines.back()[column++] = output[i];
    }
  }
  return lines;
}

ProgressView At(Duration elapsed, std::uint64_t done) {
  ProgressView view;
  view.elapsed = elapsed;
  view.stored = done;
  view.pending = 100 - done;
  return view;
}

class ConsoleTest : public testing::Test {
 protected:
  const TerminalStyle kTerminal = {.terminal = true, .utf8 = true, .color = false, .columns = 60};
  const TerminalStyle kNoTerminal;
  Pipe out_, err_;
  TimePoint start_{100s};
};

TEST_F(ConsoleTest, TheProgressBarStaysBelowOtherOutput) {
  Console console("dicom-sender", out_.fd(), err_.fd(), kTerminal);
  console.Progress(At(1s, 10), start_);
  console.Print("one\ntwo\n");
  console.Warn("three");
  console.Progress(At(2s, 20), start_ + 1s);
  console.EndProgress();
  console.Print("four\n");
  const auto screen = Screen(out_.Read());
  ASSERT_EQ(screen.size(), 6U);
  EXPECT_EQ(screen[0], "one");
  EXPECT_EQ(screen[1], "two");
  EXPECT_EQ(screen[2], "Warning: three");
  EXPECT_THAT(screen[3], HasSubstr("20/100"));
  EXPECT_EQ(screen[4], "four");
  EXPECT_EQ(screen[5], "");
  EXPECT_EQ(err_.Read(), "");
}

TEST_F(ConsoleTest, ErrorsGoToStandardErrorAndTheBarIsRedrawn) {
  Console console("dicom-sender", out_.fd(), err_.fd(), kTerminal);
  console.Progress(At(1s, 10), start_);
  console.Error("the ledger is\nfull");
  EXPECT_EQ(err_.Read(), "dicom-sender: the ledger is\\nfull\n");
  const std::string output = out_.Read();
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 0);
  EXPECT_THAT(output, HasSubstr("\r\x1b[K\r"));
  EXPECT_THAT(Screen(output).back(), HasSubstr("10/100"));
}

TEST_F(ConsoleTest, TheBarIsDrawnTenTimesASecond) {
  Console console("dicom-sender", out_.fd(), err_.fd(), kTerminal);
  for (int i = 0; i < 1000; ++i) console.Progress(At(1s, 10), start_ + i * 1ms);
  const std::string output = out_.Read();
  EXPECT_EQ(std::count(output.begin(), output.end(), '\r'), 10);
}

TEST_F(ConsoleTest, TheLastStateIsAlwaysShown) {
  for (const TerminalStyle& style : {kTerminal, kNoTerminal}) {
    Console console("dicom-sender", out_.fd(), err_.fd(), style);
    console.Progress(At(1s, 10), start_);
    console.Progress(At(1s, 100), start_ + 1ms);
    console.EndProgress();
    const auto screen = Screen(out_.Read());
    ASSERT_GE(screen.size(), 2U);
    EXPECT_THAT(screen[screen.size() - 2], HasSubstr("100/100"));
    console.EndProgress();
    EXPECT_EQ(out_.Read(), "") << "once is enough";
  }
}

TEST_F(ConsoleTest, WithoutATerminalOneLineIsPrintedEveryFiveSeconds) {
  Console console("dicom-sender", out_.fd(), err_.fd(), kNoTerminal);
  for (int i = 0; i < 100; ++i) console.Progress(At(i * 100ms, 10), start_ + i * 100ms);
  std::string output = out_.Read();
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 2) << output;
  EXPECT_EQ(output.find_first_of("\r\x1b"), std::string::npos) << output;
  console.Print("x\n");
  EXPECT_EQ(out_.Read(), "x\n");
}

TEST_F(ConsoleTest, ProblemsAreShownAtOnceAndThenInTurn) {
  Console console("dicom-sender", out_.fd(), err_.fd(), kNoTerminal);
  console.Progress(At(0s, 10), start_);
  out_.Read();
  for (int i = 1; i <= 40; ++i) {
    ProgressView view = At(i * 100ms, 10);
    view.note = "retrying in " + std::to_string(40 - i);
    console.Progress(view, start_ + i * 100ms);
  }
  const std::string output = out_.Read();
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 1) << output;
  EXPECT_THAT(output, HasSubstr("retrying in 39"));
}

TEST_F(ConsoleTest, IndexingIsRedrawnInPlace) {
  {
    Console console("dicom-sender", out_.fd(), err_.fd(), kTerminal);
    console.Indexing({1s, 10, 9}, start_);
    console.Indexing({2s, 1000, 900}, start_ + 1s);
    console.EndProgress();
    console.Progress(At(1s, 10), start_ + 1s);
  }
  const auto screen = Screen(out_.Read());
  ASSERT_EQ(screen.size(), 3U);
  EXPECT_EQ(screen[0], "Indexing ... 1000 files, 900 of them DICOM, 0:02");
  EXPECT_THAT(screen[1], HasSubstr("10/100")) << "the end of the console ends the progress";
}

TEST_F(ConsoleTest, OnlyAUtf8TerminalGetsMoreThanAscii) {
  const std::string text = "/data/\xC3\xA4\n";
  Console("dicom-sender", out_.fd(), err_.fd(), {.terminal = true, .utf8 = false}).Print(text);
  EXPECT_EQ(out_.Read(), "/data/?\n") << "its second byte is a control character in Latin-1";
  Console("dicom-sender", out_.fd(), err_.fd(), kTerminal).Print(text);
  EXPECT_EQ(out_.Read(), text);
  Console("dicom-sender", out_.fd(), err_.fd(), kNoTerminal).Print(text);
  EXPECT_EQ(out_.Read(), text) << "a file keeps it";
}

TEST_F(ConsoleTest, AClosedPipeIsAbandoned) {
  signal(SIGPIPE, SIG_IGN);
  Console console("dicom-sender", out_.fd(), err_.fd(), kNoTerminal);
  out_.CloseReader();
  console.Print("x\n");
  console.Progress(At(1s, 1), start_);
  console.Error("still heard");
  EXPECT_EQ(err_.Read(), "dicom-sender: still heard\n");
}

TEST_F(ConsoleTest, WaitsForAFullPipe) {
  Console console("dicom-sender", out_.fd(), err_.fd(), kNoTerminal);
  const std::string line = std::string(99, 'x') + "\n";
  std::thread writer([&] {
    for (int i = 0; i < 10'000; ++i) console.Print(line);
  });
  std::size_t bytes = 0;
  while (bytes < 10'000 * line.size()) bytes += out_.Read().size();
  writer.join();
  EXPECT_EQ(bytes, 10'000 * line.size());
}

TEST_F(ConsoleTest, WaitsOnlyOnceForAPipeWithoutAReader) {
  Console console("dicom-sender", out_.fd(), err_.fd(), kNoTerminal);
  const std::string line = std::string(99, 'x') + "\n";
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 10'000; ++i) console.Print(line);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s) << "not two seconds for each line";
  EXPECT_THAT(out_.Read(), testing::StartsWith(line));
  console.Print("back again\n");
  EXPECT_EQ(out_.Read(), "back again\n");
}

TEST_F(ConsoleTest, LinesOfConcurrentThreadsAreNotInterleaved) {
  std::string output;
  {
    Console console("dicom-sender", out_.fd(), err_.fd(), kTerminal);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&console] {
        for (int i = 0; i < 100; ++i) console.Print("0123456789\n");
      });
    }
    for (int i = 0; i < 100; ++i) {
      console.Progress(At(1s, 10), start_ + i * 1s);
      output += out_.Read();
    }
    for (auto& thread : threads) thread.join();
  }
  const auto screen = Screen(output + out_.Read());
  ASSERT_EQ(screen.size(), 402U);
  for (int i = 0; i < 400; ++i) EXPECT_EQ(screen[static_cast<std::size_t>(i)], "0123456789");
}

class DetectStyleTest : public testing::Test {
 protected:
  DetectStyleTest() : master_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (grantpt(master_.get()) == 0 && unlockpt(master_.get()) == 0) {
      terminal_ = UniqueFd(open(ptsname(master_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    }
  }
  static TerminalStyle Detect(int fd, const std::map<std::string, std::string>& variables) {
    return DetectStyle(fd, [&variables](const char* name) {
      const auto it = variables.find(name);
      return it == variables.end() ? nullptr : it->second.c_str();
    });
  }
  UniqueFd master_, terminal_;
};

TEST_F(DetectStyleTest, OfATerminal) {
  ASSERT_TRUE(terminal_.valid());
  const TerminalStyle style = Detect(terminal_.get(), {{"TERM", "xterm"}, {"LANG", "de_DE.UTF-8"}});
  EXPECT_TRUE(style.terminal && style.utf8 && style.color && style.emoji());
}

TEST_F(DetectStyleTest, NoColor) {
  EXPECT_FALSE(Detect(terminal_.get(), {{"TERM", "xterm"}, {"NO_COLOR", "1"}}).color);
  EXPECT_TRUE(Detect(terminal_.get(), {{"TERM", "xterm"}, {"NO_COLOR", ""}}).color)
      << "https://no-color.org: not empty";
}

TEST_F(DetectStyleTest, TerminalsThatCannotRedraw) {
  EXPECT_FALSE(Detect(terminal_.get(), {{"TERM", "dumb"}}).terminal);
  EXPECT_FALSE(Detect(terminal_.get(), {}).terminal);
  EXPECT_FALSE(Detect(terminal_.get(), {{"TERM", "dumb"}}).color);
}

TEST_F(DetectStyleTest, TheFirstLocaleVariableThatIsSetNamesTheEncoding) {
  const auto utf8 = [&](std::map<std::string, std::string> variables) {
    variables["TERM"] = "xterm";
    return Detect(terminal_.get(), variables).emoji();
  };
  EXPECT_FALSE(utf8({}));
  EXPECT_TRUE(utf8({{"LC_CTYPE", "C.utf8"}}));
  EXPECT_FALSE(utf8({{"LC_ALL", "C"}, {"LANG", "en_US.UTF-8"}}));
  EXPECT_TRUE(utf8({{"LC_ALL", ""}, {"LC_CTYPE", ""}, {"LANG", "en_US.UTF-8"}}));
  EXPECT_FALSE(utf8({{"LANG", "de_DE.ISO-8859-1"}}));
}

TEST_F(DetectStyleTest, OfAPipe) {
  const Pipe pipe;
  const TerminalStyle style = Detect(pipe.fd(), {{"TERM", "xterm"}, {"LANG", "C.UTF-8"}});
  EXPECT_FALSE(style.terminal || style.color || style.emoji());
}

}  // namespace
}  // namespace dicom_sender
