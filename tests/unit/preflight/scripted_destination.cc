#include "tests/unit/preflight/scripted_destination.h"

#include <gtest/gtest.h>

#include <memory>

namespace dicom_sender {
namespace {

class AnsweredAssociation : public Association {
 public:
  AnsweredAssociation(ScriptedDestination& destination, const AssociationRequest& request)
      : destination_(destination) {
    for (const ProposedContext& context : request.contexts) {
      ContextAnswer& answer = answers_.emplace_back();
      answer.id = context.id;
      answer.result = ContextResult::kTransferSyntaxesNotSupported;
      for (const std::string& syntax : context.transfer_syntaxes) {
        if (destination.accepts && !destination.accepts(context.abstract_syntax, syntax)) continue;
        answer.result = ContextResult::kAccepted;
        answer.transfer_syntax = syntax;
        break;
      }
    }
  }
  const std::vector<ContextAnswer>& contexts() const override { return answers_; }
  std::uint32_t peer_max_pdu_bytes() const override { return 0; }
  std::uint16_t window() const override { return 1; }
  tl::expected<std::uint16_t, StoreFailure> Send(const StoreRequest&) override {
    ADD_FAILURE() << "something was sent";
    return tl::unexpected(StoreFailure{});
  }
  void Flush() override {}
  std::vector<std::uint16_t> Unsend() override { return {}; }
  tl::expected<StoreResponse, StoreFailure> Receive() override { return tl::unexpected(StoreFailure{}); }
  tl::expected<std::uint16_t, StoreFailure> Echo(std::uint8_t) override {
    ++destination_.echoes;
    return std::uint16_t{0};
  }
  void Release() override { ++destination_.released; }
  void Abort() override {}

 private:
  ScriptedDestination& destination_;
  std::vector<ContextAnswer> answers_;
};

}  // namespace

Associate ScriptedDestination::associate() {
  return [this](const AssociationRequest& request) -> tl::expected<std::unique_ptr<Association>, AssociationFailure> {
    requests.push_back(request);
    if (fails) {
      if (auto failure = fails(request)) return tl::unexpected(*std::move(failure));
    }
    return std::make_unique<AnsweredAssociation>(*this, request);
  };
}

}  // namespace dicom_sender
