// Readable names of UIDs.
#pragma once

#include <string>
#include <string_view>

namespace dicom_sender {

// Returns DCMTK's name of a SOP class or transfer syntax, such as "CTImageStorage" or "LittleEndianExplicit", or the
// UID itself if DCMTK has no name for it. Thread-safe.
std::string NameOfUid(std::string_view uid);

}  // namespace dicom_sender
