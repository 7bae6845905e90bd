#include "proto/words.h"

#include <fmt/format.h>

#include <algorithm>

namespace dicom_sender {

std::string EnumWord(const google::protobuf::EnumValueDescriptor& value) {
  std::string word = value.name().substr(value.name().find('_') + 1);
  std::ranges::transform(word, word.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return word;
}

std::string SessionStateWord(wire::SessionState state) {
  const auto* value = wire::SessionState_descriptor()->FindValueByNumber(state);
  return value == nullptr ? "unknown" : EnumWord(*value);
}

std::string DestinationText(std::string_view called_ae, std::uint32_t port, std::string_view host) {
  if (host.empty()) return {};
  return fmt::format("{}:{}@{}", called_ae, port, host);
}
std::string DestinationText(const wire::Destination& destination) {
  return DestinationText(destination.called_ae(), destination.port(), destination.host());
}

}  // namespace dicom_sender
