// The first response of the status page: the current state as tables, for a browser that has no script or has not run
// it yet, and as JSON for the script.
#pragma once

#include <string>

#include "status.pb.h"

namespace dicom_sender {

// Names come from files and peers: they are escaped, and no element or script can come from them.
std::string PageWith(const wire::Overview& overview);
std::string PageWithNothing();  // before there is a state

}  // namespace dicom_sender
