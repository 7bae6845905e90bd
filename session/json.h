// Messages as JSON, for scripts and pages. Pure.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace dicom_sender {

// Fields by their names in the .proto files; numbers as numbers, bytes as text, states in lower case without their
// prefix ("sending"). Fields that are not set are there with their default, optional ones as null. What is no UTF-8
// is replaced by U+FFFD.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace dicom_sender
