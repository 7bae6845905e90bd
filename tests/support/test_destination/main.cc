// test-destination: the Storage SCP of the tests and benchmarks as a program. SIGHUP reloads the script. SIGTERM and
// SIGINT end the program. Its last line reports how much it received.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/test_destination/test_destination.h"

namespace {

using dicom_sender::DestinationBehaviour;

struct Arguments {
  dicom_sender::DestinationOptions options;
  std::string port_file, script_file;
  std::vector<std::string> lines;
};

tl::expected<DestinationBehaviour, std::string> ReadBehaviour(const Arguments& arguments) {
  std::string text;
  for (const std::string& line : arguments.lines) text += line + "\n";
  if (!arguments.script_file.empty()) {
    std::ifstream file(arguments.script_file);
    if (!file) return tl::unexpected("cannot open " + arguments.script_file);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  return dicom_sender::ParseBehaviour(text);
}

// Renamed into place, so that readers see the whole number.
void WritePort(const std::string& path, std::uint16_t port) {
  std::ofstream(path + ".part") << port << "\n";
  std::filesystem::rename(path + ".part", path);
}

// Returns at SIGTERM or SIGINT.
void ServeSignals(const sigset_t& signals, const Arguments& arguments, dicom_sender::TestDestination& destination) {
  int signal_number = 0;
  while (::sigwait(&signals, &signal_number) == 0 && signal_number == SIGHUP) {
    const auto behaviour = ReadBehaviour(arguments);
    if (behaviour) destination.SetBehaviour(*behaviour);
    std::fprintf(stderr, "%s\n", behaviour ? "script read again" : behaviour.error().c_str());
  }
}

int Run(const Arguments& arguments) {
  const auto behaviour = ReadBehaviour(arguments);
  if (!behaviour) {
    std::fprintf(stderr, "test-destination: %s\n", behaviour.error().c_str());
    return 2;
  }
  sigset_t signals;  // blocked before the first thread starts, so that only sigwait receives them
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  dicom_sender::TestDestination destination(arguments.options, *behaviour);
  if (const auto started = destination.Start(); !started) {
    std::fprintf(stderr, "test-destination: cannot listen: %s\n", started.error().c_str());
    return 1;
  }
  if (!arguments.port_file.empty()) WritePort(arguments.port_file, destination.port());
  std::printf("listening on 127.0.0.1:%u\n", unsigned{destination.port()});
  std::fflush(stdout);
  ServeSignals(signals, arguments, destination);
  destination.Stop();
  const dicom_sender::DestinationLog log = destination.Log();
  std::printf("received %" PRIu64 " instances, %" PRIu64 " bytes\n", log.complete_instances, log.complete_bytes);
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("A Storage SCP for tests and benchmarks that does what its script says");
  Arguments arguments;
  app.add_option("--port", arguments.options.port, "Port of 127.0.0.1; 0: a free one");
  app.add_option("--port-file", arguments.port_file, "Write the port there once it listens");
  app.add_option("--script", arguments.script_file, "Behaviour (see test_destination.h); SIGHUP reads it again")
      ->check(CLI::ExistingFile);
  app.add_option("--do", arguments.lines, "One line of behaviour, before those of the script; repeatable")
      ->allow_extra_args(false);
  app.add_option("--log", arguments.options.log_file, "Append one JSON line for each association and instance");
  app.add_option("--store", arguments.options.store_folder, "Write complete datasets there, named by their UID")
      ->check(CLI::ExistingDirectory);
  app.add_flag("--hash", arguments.options.hash_datasets, "Log the FNV-1a hash of each dataset");
  CLI11_PARSE(app, argc, argv);
  arguments.options.keep_instances = false;  // the program has no use for them
  return Run(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "test-destination: %s\n", error.what());
    return 1;
  }
}
