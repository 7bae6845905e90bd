// Converts messages to JSON, for scripts and pages. Pure.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace dicom_sender {

// Fields have their names from the .proto files; numbers are numbers, bytes are text, and states are in lower case
// without their prefix ("sending"). A field that is not set has its default, or null if it is optional. Invalid UTF-8
// is replaced by U+FFFD.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace dicom_sender
