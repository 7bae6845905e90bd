// Suggests a known word for an unknown one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dicom_sender {

// Returns the advice for an unknown word: ". Did you mean --threads?" with the prefix and the most similar known
// word, or ": " and `other_advice` if no known word is similar.
std::string Advice(std::string_view unknown, const std::vector<std::string_view>& known, std::string_view prefix,
                   std::string_view other_advice);

}  // namespace dicom_sender
