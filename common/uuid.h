// UUIDs, which identify sessions.
#pragma once

#include <string>
#include <string_view>

namespace dicom_sender {

std::string NewUuid();  // random, in lower case
bool IsUuid(std::string_view text);

}  // namespace dicom_sender
