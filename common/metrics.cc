#include "common/metrics.h"

#include "common/text.h"

namespace dicom_sender {
namespace {

using prometheus::Registry;

std::string Full(const std::string& name) { return "dicom_sender_" + name; }

}  // namespace

prometheus::Family<prometheus::Counter>& MakeCounters(Registry& registry, const std::string& name,
                                                      const std::string& help) {
  return prometheus::BuildCounter().Name(Full(name)).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& MakeGauges(Registry& registry, const std::string& name,
                                                  const std::string& help) {
  return prometheus::BuildGauge().Name(Full(name)).Help(help).Register(registry);
}

prometheus::Counter& MakeCounter(Registry& registry, const std::string& name, const std::string& help) {
  return MakeCounters(registry, name, help).Add({});
}

prometheus::Gauge& MakeGauge(Registry& registry, const std::string& name, const std::string& help) {
  return MakeGauges(registry, name, help).Add({});
}

prometheus::Histogram& MakeHistogram(Registry& registry, const std::string& name, const std::string& help,
                                     const prometheus::Histogram::BucketBoundaries& bounds) {
  return prometheus::BuildHistogram().Name(Full(name)).Help(help).Register(registry).Add({}, bounds);
}

LabelledCounters::LabelledCounters(Registry& registry, const std::string& name, const std::string& help,
                                   const std::string& label, std::initializer_list<const char*> values)
    : family_(MakeCounters(registry, name, help)), label_(label) {
  for (const char* value : values) counters_[value] = &family_.Add({{label, value}});
}

prometheus::Counter& LabelledCounters::operator[](std::string_view value) {
  const auto it = counters_.find(value);
  return it != counters_.end() ? *it->second : family_.Add({{label_, "other"}});
}

std::string LabelValue(std::string_view text) { return ToPrintable(text); }

void AddBuildInfo(Registry& registry, const std::string& version) {
  MakeGauges(registry, "build_info", "Always 1; the label is the version").Add({{"version", version}}).Set(1);
}

}  // namespace dicom_sender
