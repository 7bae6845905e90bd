// A thin wrapper around render.h: writes to standard output and standard error, and keeps the progress bar below all
// other text.
//
// On a terminal, the bar is redrawn in place, at most ten times a second; elsewhere a line is written every few
// seconds. Thread-safe. If an output can no longer be written (a closed pipe), nothing more is written to it, and the
// run continues. The run also continues if the reader stalls (a pager that waits for a key): text that is not read
// within 2 s is dropped until the reader continues.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "cli/render.h"

namespace dicom_sender {

// Detects what the output supports, from isatty(), TERM, NO_COLOR, and LC_ALL, LC_CTYPE, or LANG. `environment` works
// like std::getenv.
TerminalStyle DetectStyle(int fd, const std::function<const char*(const char*)>& environment);

class Console {
 public:
  explicit Console(std::string program);  // writes to standard output and standard error
  // The caller keeps ownership of the descriptors. If `style` says that it is a terminal, both are assumed to be that
  // terminal.
  Console(std::string program, int out, int err, const TerminalStyle& style);
  ~Console();  // ends the progress
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  const TerminalStyle& style() const { return style_; }

  void Print(std::string_view text);  // prints rendered text above the bar
  void Warn(std::string_view sentence);
  void Error(std::string_view sentence);  // "PROGRAM: ...", to standard error

  void Indexing(const IndexingView& view, TimePoint now);
  void Progress(const ProgressView& view, TimePoint now);
  // Shows the latest state even if it was not due yet, and continues below it.
  void EndProgress();

 private:
  void Update(std::string bar, std::string line, bool at_once, TimePoint now);
  void Draw();
  void Erase();
  void Write(int& fd, std::string_view text);

  const std::string program_;
  std::mutex mutex_;
  TerminalStyle style_;
  int out_, err_;       // -1: no longer writable
  bool columns_asked_;  // query the width of the terminal before each bar
  RateMeter meter_;
  std::string bar_;       // the latest bar; empty: no progress to show
  std::string line_;      // the same for outputs other than terminals
  bool drawn_ = false;    // the bar is in the last line of the terminal
  bool shown_ = false;    // bar_ or line_ has been written
  bool noted_ = false;    // the last progress had a note
  bool stalled_ = false;  // the reader did not read the last text in time
  std::optional<TimePoint> shown_time_;
};

}  // namespace dicom_sender
