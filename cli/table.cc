#include "cli/table.h"

#include <algorithm>

#include "cli/display_width.h"
#include "common/text.h"

namespace dicom_sender {

std::string Table::Text() const {
  std::vector<std::vector<std::string>> rows = rows_;
  std::vector<std::size_t> widths(rows_.front().size());
  for (auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = row[i].empty() ? "-" : ToPrintable(row[i]);
      widths[i] = std::max(widths[i], Columns(row[i]));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - Columns(row[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace dicom_sender
