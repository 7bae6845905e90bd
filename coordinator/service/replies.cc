#include "coordinator/service/replies.h"

#include <fmt/format.h>

namespace dicom_sender {

wire::ClientReply Failed(std::string reason) {
  wire::ClientReply reply;
  reply.mutable_failure()->set_reason(std::move(reason));
  return reply;
}

wire::ClientReply NoSuchSession(std::string_view uuid) {
  return Failed(fmt::format("session '{}' is not in this ledger", uuid));
}

wire::ClientReply TooManySessions() {
  return Failed(fmt::format("too many sessions: {} are open already; wait until one has ended, or pause one",
                            kOpenSessionsMax));
}

wire::ClientReply TooManyBytes(const SessionRecord& session) {
  return Failed(fmt::format("session {} would have more bytes than are possible: a size in this batch is wrong",
                            session.settings.session()));
}

wire::ClientReply SessionHasEnded(const SessionRecord& session) {
  return Failed(fmt::format("session {} has ended{}{}", session.settings.session(),
                            session.end_reason.empty() ? "" : ": ", session.end_reason));
}

}  // namespace dicom_sender
