// Renders the first response of the status page: the current state as tables, for browsers without JavaScript or
// before the script runs, and as JSON for the script.
#pragma once

#include <string>

#include "status.pb.h"

namespace dicom_sender {

// Escapes all names, because they come from files and peers and must not inject elements or scripts.
std::string PageWith(const wire::Overview& overview);
std::string PageWithNothing();  // before the first state is known

}  // namespace dicom_sender
