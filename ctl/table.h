// Columns of text for a terminal, and messages as JSON for scripts. Pure.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <vector>

namespace dicom_sender {

// Rows under their headings, each column as wide as its widest cell; what comes from outside is made printable.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }  // as many cells as headings
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Fields by their names in the .proto files; numbers as numbers, bytes as text, states in lower case without their
// prefix ("sending"). Fields that are not set are there with their default, optional ones as null.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace dicom_sender
