// Plans the presentation contexts for a study, and chooses one of the accepted contexts for each instance. Pure.
//
// Each (SOP class, transfer syntax) pair of the study gets a context of its own with that one syntax, so that the
// answer says clearly whether files can be sent unchanged (PS3.8 9.3.2.2: the acceptor picks one of several
// syntaxes). Each SOP class gets one more context with the uncompressed little endian syntaxes that it lacks, in
// which files of a refused syntax can be sent after decoding. An association has at most 128 contexts (ids are odd
// bytes). A study that needs more is split by SOP class over consecutive associations.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "dicom/network/pdu.h"

namespace dicom_sender {

struct ContextNeed {
  std::string sop_class_uid;
  std::string transfer_syntax_uid;

  friend bool operator==(const ContextNeed&, const ContextNeed&) = default;
  friend bool operator<(const ContextNeed& a, const ContextNeed& b) {
    return std::tie(a.sop_class_uid, a.transfer_syntax_uid) < std::tie(b.sop_class_uid, b.transfer_syntax_uid);
  }
};

class ContextPlan {
 public:
  explicit ContextPlan(const std::vector<ContextNeed>& needs);

  // The contexts that each association proposes, at most kContextsMax, in the order in which the needs first occur.
  const std::vector<std::vector<ProposedContext>>& associations() const { return associations_; }
  // The association that serves the pair; nullopt if the pair was not among the needs.
  std::optional<std::size_t> AssociationOf(const std::string& sop_class_uid,
                                           const std::string& transfer_syntax_uid) const;

 private:
  std::vector<std::vector<ProposedContext>> associations_;
  std::map<std::pair<std::string, std::string>, std::size_t> places_;
};

struct ContextChoice {
  std::uint8_t context_id = 0;
  std::string transfer_syntax;  // of the dataset that is sent
  bool decode = false;          // it is not the file's own syntax
};

// Chooses the context for one instance. Prefers the file's own syntax, then explicit VR little endian, then implicit.
// The error is one sentence that says why the destination refused the contexts, or that the file cannot be decoded.
tl::expected<ContextChoice, std::string> ChooseContext(const std::vector<ProposedContext>& proposed,
                                                       const std::vector<ContextAnswer>& answers,
                                                       std::string_view sop_class_uid,
                                                       std::string_view transfer_syntax_uid,
                                                       const std::function<bool(std::string_view)>& can_decode);

}  // namespace dicom_sender
