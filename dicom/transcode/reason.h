// The error of all functions of this folder: one readable sentence.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace dicom_sender {

inline tl::unexpected<std::string> Reason(std::string sentence) {
  return tl::unexpected<std::string>(std::move(sentence));
}

}  // namespace dicom_sender
