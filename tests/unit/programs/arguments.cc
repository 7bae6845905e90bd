#include "tests/unit/programs/arguments.h"

namespace dicom_sender {

Arguments::Arguments(std::vector<std::string> words, std::map<std::string, std::string> variables)
    : words_(std::move(words)), variables_(std::move(variables)) {
  words_.insert(words_.begin(), "program");
  for (const std::string& word : words_) pointers_.push_back(word.c_str());
}

}  // namespace dicom_sender
