#include "worker/sending/study_association.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "proto/words.h"
#include "worker/association/association_request.h"
#include "worker/sending/sending_failures.h"
#include "worker/sending/sending_meters.h"

namespace dicom_sender {

AssociationRequest RequestFor(const wire::LeaseGrant& grant, std::vector<ProposedContext> contexts) {
  return RequestFor(grant.destination(), grant.send_options(), std::move(contexts));
}

std::string StudyAssociation::Destination() const { return DestinationText(grant_.destination()); }

tl::expected<void, AssociationFailure> StudyAssociation::Open(const std::vector<ProposedContext>& contexts) {
  auto opened = Request(contexts);
  while (!opened && WindowIsToBlame(IsAbortOrLoss(opened.error().kind), opened.error().reason)) {
    opened = Request(contexts);
  }
  if (!opened) return tl::unexpected(std::move(opened.error()));
  association_ = *std::move(opened);
  requests_ = 0;
  context_.metrics.associations_active.Increment();
  return {};
}

tl::expected<std::unique_ptr<Association>, AssociationFailure> StudyAssociation::Request(
    const std::vector<ProposedContext>& contexts) {
  const TimeSpent spent(context_.metrics.association_seconds);
  AssociationRequest request = RequestFor(grant_, contexts);
  if (!context_.windows.MayPropose(Destination())) request.async_window = 1;
  window_proposed_ = request.async_window > 1;
  answered_ = false;
  return context_.associate(request);
}

tl::expected<std::uint16_t, StoreFailure> StudyAssociation::Send(const StoreRequest& request) {
  const StoreMeter meter(context_.progress, context_.metrics);
  ++requests_;
  return association_->Send(request);
}

tl::expected<StoreResponse, StoreFailure> StudyAssociation::Receive() {
  const StoreMeter meter(context_.progress, context_.metrics);
  return association_->Receive();
}

bool StudyAssociation::IsUsedUp() const {
  const std::uint32_t requests_max = grant_.send_options().requests_per_association_max();
  return requests_max > 0 && requests_ >= requests_max;
}

void StudyAssociation::Release() {
  const TimeSpent spent(context_.metrics.association_seconds);
  association_->Release();
  Drop();
}

void StudyAssociation::Drop() {
  if (!association_) return;
  association_.reset();
  context_.metrics.associations_active.Decrement();
}

void StudyAssociation::NoteAnswer() {
  if (std::exchange(answered_, true)) return;
  if (const auto reason = context_.windows.Answered(Destination(), window_proposed_)) {
    spdlog::warn(
        "Destination '{}': no asynchronous operations window is proposed any more: with one, the association was "
        "lost "
        "before any response ({}), and without one it works; '--async-window 1' avoids the loss",
        Destination(), *reason);
  }
}

bool StudyAssociation::WindowIsToBlame(bool aborted_or_lost, const std::string& reason) {
  // Without a window, any failure shows that there is another problem.
  if (answered_ || (window_proposed_ && !aborted_or_lost)) return false;
  if (!context_.windows.Lost(Destination(), window_proposed_, reason)) return false;
  return !std::exchange(window_blamed_, true);
}

}  // namespace dicom_sender
