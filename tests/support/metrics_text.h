// Returns a registry in the text format that Prometheus reads.
#pragma once

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>

namespace dicom_sender {

inline std::string MetricsText(const prometheus::Registry& registry) {
  return prometheus::TextSerializer().Serialize(registry.Collect());
}

}  // namespace dicom_sender
