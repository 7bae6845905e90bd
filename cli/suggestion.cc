#include "cli/suggestion.h"

#include <fmt/format.h>

#include <algorithm>

namespace dicom_sender {
namespace {

constexpr std::size_t kWordMax = 64;  // nothing that long resembles a known word

// The edit distance: how many letters must be inserted, removed, replaced, or swapped with their neighbor.
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = above;
    above = row;
  }
  return above[b.size()];
}

// A prefix of a known word counts as a single edit, because it was meant as an abbreviation.
std::size_t Cost(std::string_view unknown, std::string_view known) {
  if (unknown.size() >= 3 && known.starts_with(unknown)) return 1;
  return Distance(unknown, known);
}

// Returns an empty text if no known word is similar enough.
std::string_view Nearest(std::string_view unknown, const std::vector<std::string_view>& known) {
  if (unknown.size() < 2 || unknown.size() > kWordMax) return {};
  std::string_view best;
  std::size_t least = std::min<std::size_t>(unknown.size() / 2, 3) + 1;
  for (const std::string_view word : known) {
    const std::size_t cost = Cost(unknown, word);
    if (cost < least) {
      least = cost;
      best = word;
    }
  }
  return best;
}

}  // namespace

std::string Advice(std::string_view unknown, const std::vector<std::string_view>& known, std::string_view prefix,
                   std::string_view other_advice) {
  const std::string_view nearest = Nearest(unknown, known);
  return nearest.empty() ? fmt::format(": {}", other_advice) : fmt::format(". Did you mean {}{}?", prefix, nearest);
}

}  // namespace dicom_sender
