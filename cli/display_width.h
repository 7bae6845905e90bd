// Computes how many columns of a terminal a text takes, from Unicode's tables: East Asian wide characters and emoji
// take two, combining characters none. Does not depend on the locale. Pure. The text must be valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dicom_sender {

std::size_t Columns(std::string_view text);

// Returns the longest prefix that fits. A character keeps the combining characters that follow it.
std::string ClipToColumns(std::string_view text, std::size_t columns);

}  // namespace dicom_sender
