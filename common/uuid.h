// Session ids.
#pragma once

#include <string>
#include <string_view>

namespace dicom_sender {

std::string NewUuid();  // random, lower case
bool IsUuid(std::string_view text);

}  // namespace dicom_sender
