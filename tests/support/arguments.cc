#include "tests/support/arguments.h"

#include <algorithm>

namespace dicom_sender {

std::vector<std::string> Words(std::string_view text, char separator) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

Arguments::Arguments(std::vector<std::string> words, std::map<std::string, std::string> variables)
    : words_(std::move(words)), variables_(std::move(variables)) {
  words_.insert(words_.begin(), "program");
  for (const std::string& word : words_) pointers_.push_back(word.c_str());
}

}  // namespace dicom_sender
