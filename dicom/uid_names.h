// Names of UIDs for people.
#pragma once

#include <string>
#include <string_view>

namespace dicom_sender {

// DCMTK's name of a SOP class or transfer syntax, as in "CTImageStorage" or "LittleEndianExplicit"; the UID itself
// where DCMTK knows none. Thread-safe.
std::string NameOfUid(std::string_view uid);

}  // namespace dicom_sender
