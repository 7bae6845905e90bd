// Formats a table for a terminal. Pure.
#pragma once

#include <string>
#include <vector>

namespace dicom_sender {

// Rows below headings, with each column as wide as its widest cell. Makes all cells printable.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }  // as many cells as headings
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace dicom_sender
