// The words for states and destinations. They are the same in tables, JSON, SQL, metrics, on the status page, and in
// the documentation, because all of them have them from here. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client.pb.h"

namespace dicom_sender {

// The word for a value of one of the protocol's enums is its name without the prefix: "suspended" for
// SESSION_SUSPENDED. So the .proto files define these words.
std::string EnumWord(const google::protobuf::EnumValueDescriptor& value);
std::string SessionStateWord(wire::SessionState state);  // "unknown" for one of a later release

inline constexpr const char* kWorkerSending = "sending";
inline constexpr const char* kWorkerIdle = "idle";
inline constexpr const char* kWorkerDraining = "draining";
inline constexpr const char* kWorkerNotReady = "not ready";
inline constexpr const char* kWorkerQuarantined = "quarantined";
inline constexpr const char* kWorkerLost = "lost";  // not heard from

inline constexpr const char* kDestinationReachable = "reachable";
inline constexpr const char* kDestinationUnreachable = "unreachable";
inline constexpr const char* kDestinationThrottled = "throttled";

// "ARCHIVE:104@pacs.example.org"; empty without a host.
std::string DestinationText(std::string_view called_ae, std::uint32_t port, std::string_view host);
std::string DestinationText(const wire::Destination& destination);

}  // namespace dicom_sender
