// The words for states and destinations. Tables, JSON, SQL, metrics, the status page, and the documentation take them
// from here, so that they are the same everywhere. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client.pb.h"

namespace dicom_sender {

// Returns the name of an enum's value without the prefix: "suspended" for SESSION_SUSPENDED. So the .proto files
// define these words.
std::string EnumWord(const google::protobuf::EnumValueDescriptor& value);
std::string SessionStateWord(wire::SessionState state);  // "unknown" for a state of a later release

inline constexpr const char* kWorkerSending = "sending";
inline constexpr const char* kWorkerIdle = "idle";
inline constexpr const char* kWorkerDraining = "draining";
inline constexpr const char* kWorkerNotReady = "not ready";
inline constexpr const char* kWorkerQuarantined = "quarantined";
inline constexpr const char* kWorkerLost = "lost";  // silent

inline constexpr const char* kDestinationReachable = "reachable";
inline constexpr const char* kDestinationUnreachable = "unreachable";
inline constexpr const char* kDestinationThrottled = "throttled";

// "ARCHIVE:104@pacs.example.org"; empty without a host.
std::string DestinationText(std::string_view called_ae, std::uint32_t port, std::string_view host);
std::string DestinationText(const wire::Destination& destination);

}  // namespace dicom_sender
