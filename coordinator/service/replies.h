// The replies that refuse a client's request. They state the reason for a person.
#pragma once

#include <string>
#include <string_view>

#include "client.pb.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

inline constexpr std::size_t kOpenSessionsMax = 1000;

wire::ClientReply Failed(std::string reason);
wire::ClientReply NoSuchSession(std::string_view uuid);
wire::ClientReply TooManySessions();
wire::ClientReply TooManyBytes(const SessionRecord& session);
// For requests that need an open session.
wire::ClientReply SessionHasEnded(const SessionRecord& session);

}  // namespace dicom_sender
