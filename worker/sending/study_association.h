// Manages the associations of one study, of which one is open at a time, and decides whether they may propose an
// asynchronous operations window.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/network/association.h"
#include "worker.pb.h"
#include "worker/sending/sending_context.h"

namespace dicom_sender {

// Not thread-safe.
class StudyAssociation {
 public:
  StudyAssociation(const wire::LeaseGrant& grant, const SendingContext& context) : grant_(grant), context_(context) {}
  ~StudyAssociation() { Drop(); }
  StudyAssociation(const StudyAssociation&) = delete;
  StudyAssociation& operator=(const StudyAssociation&) = delete;

  // Requires that it is not open. Falls back to an association without a window if the window may be to blame for a
  // failure.
  tl::expected<void, AssociationFailure> Open(const std::vector<ProposedContext>& contexts);
  bool is_open() const { return association_ != nullptr; }
  // Requires that it is open.
  Association& operator*() const { return *association_; }
  Association* operator->() const { return association_.get(); }

  tl::expected<std::uint16_t, StoreFailure> Send(const StoreRequest& request);
  tl::expected<StoreResponse, StoreFailure> Receive();
  // Whether the association has had as many requests as the session allows.
  bool IsUsedUp() const;

  // Requires that nothing is in flight.
  void Release();
  void Drop();

  // Call it when a response has arrived.
  void NoteAnswer();
  // Whether the proposed window is the probable cause of the failure. Returns true only once: further losses under
  // the lease count like any other. Call it once for each association that failed.
  bool WindowIsToBlame(bool aborted_or_lost, const std::string& reason);

 private:
  tl::expected<std::unique_ptr<Association>, AssociationFailure> Request(
      const std::vector<ProposedContext>& contexts);
  std::string Destination() const;

  const wire::LeaseGrant& grant_;
  const SendingContext& context_;
  std::unique_ptr<Association> association_;
  std::uint32_t requests_ = 0;    // on this association
  bool window_proposed_ = false;  // by the latest association
  bool answered_ = false;         // the destination has answered a request on it
  bool window_blamed_ = false;    // for a loss under this lease
};

AssociationRequest RequestFor(const wire::LeaseGrant& grant, std::vector<ProposedContext> contexts);

}  // namespace dicom_sender
