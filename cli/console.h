// The thin shell around render.h: writes to standard output and error, and keeps the progress bar below everything
// else.
//
// On a terminal the bar is drawn over in place, at most ten times a second; elsewhere there is a line every few
// seconds. Thread-safe. An output that cannot be written any more (a closed pipe) is given up silently: the run goes
// on. So it does where nobody reads (a pager that waits for a key): what is not taken within two seconds is left out,
// until the reader is back.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "cli/render.h"

namespace dicom_sender {

// What is behind this file descriptor, by isatty(), TERM, NO_COLOR, and LC_ALL, LC_CTYPE or LANG. `environment` as
// std::getenv.
TerminalStyle DetectStyle(int fd, const std::function<const char*(const char*)>& environment);

class Console {
 public:
  explicit Console(std::string program);  // on standard output and error
  // The descriptors stay the caller's. Both are taken for one terminal if `style` says that it is one.
  Console(std::string program, int out, int err, const TerminalStyle& style);
  ~Console();  // ends the progress
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  const TerminalStyle& style() const { return style_; }

  void Print(std::string_view text);  // what render.h made, above the bar
  void Warn(std::string_view sentence);
  void Error(std::string_view sentence);  // "PROGRAM: ...", to standard error

  void Indexing(const IndexingView& view, TimePoint now);
  void Progress(const ProgressView& view, TimePoint now);
  // Shows the last state, whenever it was given, and goes on below it.
  void EndProgress();

 private:
  void Update(std::string bar, std::string line, bool at_once, TimePoint now);
  void Draw();
  void Erase();
  void Write(int& fd, std::string_view text);

  const std::string program_;
  std::mutex mutex_;
  TerminalStyle style_;
  int out_, err_;       // -1: given up
  bool columns_asked_;  // the terminal's width is asked for before each bar
  RateMeter meter_;
  std::string bar_;       // the newest one; empty: no progress is shown
  std::string line_;      // the same for other outputs than terminals
  bool drawn_ = false;    // the bar stands in the last line of the terminal
  bool shown_ = false;    // what bar_ or line_ says has been written
  bool noted_ = false;    // the last progress had a note
  bool stalled_ = false;  // the reader has not taken what was written last
  std::optional<TimePoint> shown_time_;
};

}  // namespace dicom_sender
