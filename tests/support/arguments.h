// Command lines and environments for the tests of the programs' options.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dicom_sender {

// Splits a text at the separator, for example a command line into words.
std::vector<std::string> Words(std::string_view text, char separator = ' ');

class Arguments {
 public:
  // The arguments without the program's name.
  explicit Arguments(std::vector<std::string> words, std::map<std::string, std::string> variables = {});

  template <class Parse>
  auto Parsed(Parse parse) const {
    return parse(static_cast<int>(pointers_.size()), pointers_.data(), [this](const char* name) -> const char* {
      const auto variable = variables_.find(name);
      return variable == variables_.end() ? nullptr : variable->second.c_str();
    });
  }

 private:
  std::vector<std::string> words_;
  std::map<std::string, std::string> variables_;
  std::vector<const char*> pointers_;
};

}  // namespace dicom_sender
