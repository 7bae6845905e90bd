// Runs simulations by their seeds; see simulation.h.
//
//   simulation --seed N          runs one seed and prints every event
//   simulation --seeds A..B      runs the seeds from A to B, inclusive
//     --sqlite                   uses the real ledger
//     --no-fence                 lets former leaders write
//     --no-echo                  workers do not use a C-ECHO to find the cause of a failure
//     --blame-instances          workers blame instances for files that only they cannot read
//     --keep-going               continues after the first violation
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <deque>
#include <string>
#include <string_view>

#include "tests/sim/simulation.h"

namespace {

using dicom_sender::RunSimulation;
using dicom_sender::SimulationOptions;

constexpr std::size_t kLastEvents = 40;

struct Arguments {
  std::uint64_t first = 1, last = 1000;
  bool one = false;
  bool keep_going = false;
  SimulationOptions options;
};

bool ParseNumber(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool Parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--sqlite") {
      arguments.options.sqlite = true;
    } else if (name == "--no-fence") {
      arguments.options.fence = false;
    } else if (name == "--no-echo") {
      arguments.options.echo = false;
    } else if (name == "--blame-instances") {
      arguments.options.unreadable = false;
    } else if (name == "--keep-going") {
      arguments.keep_going = true;
    } else if (name == "--seed") {
      arguments.one = true;
      ++i;
      if (!ParseNumber(value, arguments.first)) return false;
    } else if (name == "--seeds") {
      const auto dots = value.find("..");
      ++i;
      if (dots == std::string_view::npos || !ParseNumber(value.substr(0, dots), arguments.first) ||
          !ParseNumber(value.substr(dots + 2), arguments.last)) {
        return false;
      }
    } else {
      return false;
    }
  }
  return true;
}

int RunOne(std::uint64_t seed, SimulationOptions options) {
  options.trace = [](const std::string& line) { fmt::print("{}\n", line); };
  const auto result = RunSimulation(seed, options);
  fmt::print("seed {}: {}\n", seed, result.violation.value_or("everything holds"));
  return result.violation ? 1 : 0;
}

// Repeats the run with a trace, to show the events that led to the violation.
void PrintLastEvents(std::uint64_t seed, SimulationOptions options) {
  std::deque<std::string> last;
  options.trace = [&last](const std::string& line) {
    last.push_back(line);
    if (last.size() > kLastEvents) last.pop_front();
  };
  RunSimulation(seed, options);
  for (const std::string& line : last) fmt::print("{}\n", line);
}

int RunMany(const Arguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t violations = 0, runs = 0, events = 0;
  for (std::uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
    const auto result = RunSimulation(seed, arguments.options);
    ++runs;
    events += result.events;
    if (!result.violation) continue;
    if (++violations == 1) PrintLastEvents(seed, arguments.options);
    fmt::print("seed {}: {}\n", seed, *result.violation);
    std::fflush(stdout);  // the other seeds may take hours
    if (!arguments.keep_going) break;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("{} seeds, {} events, {} violations, {:.1f} s: {:.0f} seeds/s\n", runs, events, violations, seconds,
             static_cast<double>(runs) / seconds);
  return violations > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, arguments)) {
    fmt::print(stderr,
               "usage: simulation --seed N | --seeds A..B [--keep-going] [--sqlite | --no-fence] [--no-echo] "
               "[--blame-instances]\n");
    return 2;
  }
  spdlog::set_level(spdlog::level::off);
  return arguments.one ? RunOne(arguments.first, arguments.options) : RunMany(arguments);
}
