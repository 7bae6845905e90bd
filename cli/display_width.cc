#include "cli/display_width.h"

#include <utf8proc.h>

#include <algorithm>

namespace dicom_sender {
namespace {

struct CodePoint {
  utf8proc_int32_t code = 0;
  std::size_t bytes = 1;
  std::size_t columns = 1;
};

CodePoint FirstCodePoint(std::string_view text) {
  CodePoint first;
  const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                      static_cast<utf8proc_ssize_t>(text.size()), &first.code);
  if (bytes <= 0) return {.code = 0xFFFD};  // each invalid byte takes one column
  first.bytes = static_cast<std::size_t>(bytes);
  first.columns = static_cast<std::size_t>(std::max(0, utf8proc_charwidth(first.code)));
  return first;
}

// A user-perceived character: a letter with its marks, a syllable of several jamo, or a flag of two letters.
struct Character {
  std::size_t bytes = 0;
  std::size_t columns = 0;
};

Character FirstCharacter(std::string_view text) {
  constexpr std::size_t kColumnsMax = 2;
  CodePoint last = FirstCodePoint(text);
  Character character{last.bytes, last.columns};
  utf8proc_int32_t state = 0;
  while (character.bytes < text.size()) {
    const CodePoint next = FirstCodePoint(text.substr(character.bytes));
    if (utf8proc_grapheme_break_stateful(last.code, next.code, &state)) break;
    character.bytes += next.bytes;
    character.columns = std::min(kColumnsMax, character.columns + next.columns);
    last = next;
  }
  return character;
}

}  // namespace

std::size_t Columns(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    columns += character.columns;
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string ClipToColumns(std::string_view text, std::size_t columns) {
  std::size_t end = 0;
  while (end < text.size()) {
    const Character character = FirstCharacter(text.substr(end));
    if (character.columns > columns) break;
    columns -= character.columns;
    end += character.bytes;
  }
  return std::string(text.substr(0, end));
}

}  // namespace dicom_sender
