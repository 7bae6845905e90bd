#include "dicom/uid_names.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcuid.h>

namespace dicom_sender {

std::string NameOfUid(std::string_view uid) {
  const std::string text(uid);
  return dcmFindNameOfUID(text.c_str(), text.c_str());
}

}  // namespace dicom_sender
