#include "common/uuid.h"

#include <uuid/uuid.h>

#include <array>

namespace dicom_sender {

std::string NewUuid() {
  uuid_t uuid;
  uuid_generate_random(uuid);
  std::array<char, UUID_STR_LEN> text{};
  uuid_unparse_lower(uuid, text.data());
  return text.data();
}

bool IsUuid(std::string_view text) {
  uuid_t uuid;
  return text.size() == UUID_STR_LEN - 1 && uuid_parse(std::string(text).c_str(), uuid) == 0;
}

}  // namespace dicom_sender
