#include "cli/console.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cli/display_width.h"
#include "cli/program_options.h"
#include "common/text.h"

namespace dicom_sender {
namespace {

constexpr Duration kBarEvery = std::chrono::milliseconds(100);
constexpr Duration kLineEvery = std::chrono::seconds(5);
constexpr int kReaderPatienceMs = 2000;
constexpr std::size_t kWriteBytes = 4096;  // writing this much to a pipe that is ready does not block (PIPE_BUF)

bool NamesUtf8(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return text.find("utf-8") != std::string::npos || text.find("utf8") != std::string::npos;
}

}  // namespace

TerminalStyle DetectStyle(int fd, const std::function<const char*(const char*)>& environment) {
  const auto text = [&environment](const char* name) {
    const char* value = environment(name);
    return std::string(value == nullptr ? "" : value);
  };
  TerminalStyle style;
  style.terminal = isatty(fd) == 1 && !text("TERM").empty() && text("TERM") != "dumb";
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {  // in this precedence (POSIX, 8.2)
    if (const std::string locale = text(name); !locale.empty()) {
      style.utf8 = NamesUtf8(locale);
      break;
    }
  }
  style.color = style.terminal && text("NO_COLOR").empty();
  return style;
}

Console::Console(std::string program)
    : program_(std::move(program)),
      style_(DetectStyle(STDOUT_FILENO, ProcessEnvironment)),
      out_(STDOUT_FILENO),
      err_(STDERR_FILENO),
      columns_asked_(true) {}

Console::Console(std::string program, int out, int err, const TerminalStyle& style)
    : program_(std::move(program)), style_(style), out_(out), err_(err), columns_asked_(false) {}

Console::~Console() { EndProgress(); }

void Console::Print(std::string_view text) {
  const std::lock_guard lock(mutex_);
  Erase();
  Write(out_, text);
  Draw();
}

void Console::Warn(std::string_view sentence) { Print(RenderWarning(sentence, style_)); }

void Console::Error(std::string_view sentence) {
  const std::lock_guard lock(mutex_);
  Erase();
  Write(err_, fmt::format("{}: {}\n", program_, ToPrintable(sentence)));
  Draw();
}

void Console::Indexing(const IndexingView& view, TimePoint now) {
  const std::lock_guard lock(mutex_);
  const std::string text = RenderIndexing(view);
  Update(ClipToColumns(text, style_.columns > 1 ? style_.columns - 1 : 1), text + "\n", false, now);
}

void Console::Progress(const ProgressView& view, TimePoint now) {
  const std::lock_guard lock(mutex_);
  meter_.Add(now, view.stored, view.bytes_stored);
  winsize size{};
  if (columns_asked_ && ioctl(out_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) style_.columns = size.ws_col;
  const bool new_note = !view.note.empty() && !noted_;
  noted_ = !view.note.empty();
  Update(RenderProgressBar(view, meter_.Get(), style_), RenderProgressLine(view, meter_.Get()), new_note, now);
}

void Console::EndProgress() {
  const std::lock_guard lock(mutex_);
  if (style_.terminal && !bar_.empty()) {
    Erase();
    Write(out_, bar_ + "\n");
  } else if (!style_.terminal && !shown_) {
    Write(out_, line_);
  }
  bar_.clear();
  line_.clear();
  shown_time_.reset();
  noted_ = false;
}

void Console::Update(std::string bar, std::string line, bool at_once, TimePoint now) {
  bar_ = std::move(bar);
  line_ = std::move(line);
  shown_ = false;
  if (!at_once && shown_time_ && now - *shown_time_ < (style_.terminal ? kBarEvery : kLineEvery)) return;
  shown_time_ = now;
  shown_ = true;
  if (style_.terminal) {
    Draw();
  } else {
    Write(out_, line_);
  }
}

void Console::Draw() {
  if (!style_.terminal || bar_.empty()) return;
  Write(out_, "\r" + bar_ + "\x1b[K");
  drawn_ = true;
}

void Console::Erase() {
  if (!drawn_) return;
  Write(out_, "\r\x1b[K");
  drawn_ = false;
}

void Console::Write(int& fd, std::string_view text) {
  const std::string ascii = style_.terminal && !style_.utf8 ? ToAscii(text) : std::string();
  if (!ascii.empty()) text = ascii;
  while (fd >= 0 && !text.empty()) {
    pollfd ready = {fd, POLLOUT, 0};
    if (poll(&ready, 1, stalled_ ? 0 : kReaderPatienceMs) == 0) {
      stalled_ = true;
      return;
    }
    stalled_ = false;
    const ssize_t written = write(fd, text.data(), std::min(text.size(), kWriteBytes));
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written == 0 || (errno != EINTR && errno != EAGAIN)) {
      fd = -1;
    }
  }
}

}  // namespace dicom_sender
