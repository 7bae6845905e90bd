// What was probably meant by a word that is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dicom_sender {

// What to do about an unknown word: ". Did you mean --threads?" with the known word that resembles it most and the
// prefix before it, or ": " and the other advice if none does.
std::string Advice(std::string_view unknown, const std::vector<std::string_view>& known, std::string_view prefix,
                   std::string_view other_advice);

}  // namespace dicom_sender
