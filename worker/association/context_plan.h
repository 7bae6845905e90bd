// Which presentation contexts to propose for a study, and what to do with the destination's answer. Pure.
//
// Each (SOP class, transfer syntax) pair of the study gets a context of its own with that one syntax, so that the
// answer says without doubt whether files can go out as they are (PS3.8 9.3.2.2: of several syntaxes the acceptor
// picks one). Each SOP class gets one more with the uncompressed little endian syntaxes that are not among its own:
// what is refused can be decoded and sent there. An association takes 128 contexts (ids are odd bytes); where a study
// needs more, it is split by SOP class over consecutive associations.
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

  // What each association proposes, at most kContextsMax contexts; their order is that of the needs' first mention.
  const std::vector<std::vector<ProposedContext>>& associations() const { return associations_; }
  // Which of them serves the pair; nullopt: it was not among the needs.
  std::optional<std::size_t> AssociationOf(const std::string& sop_class_uid,
                                           const std::string& transfer_syntax_uid) const;

 private:
  std::vector<std::vector<ProposedContext>> associations_;
  std::map<std::pair<std::string, std::string>, std::size_t> places_;
};

struct ContextChoice {
  std::uint8_t context_id = 0;
  std::string transfer_syntax;  // in which the dataset goes out
  bool decode = false;          // it is not the file's own
};

// For one instance on an association with these contexts. The file's own syntax wins; explicit VR little endian comes
// before implicit. The error is one sentence: refused, and why, or not decodable.
tl::expected<ContextChoice, std::string> ChooseContext(const std::vector<ProposedContext>& proposed,
                                                       const std::vector<ContextAnswer>& answers,
                                                       std::string_view sop_class_uid,
                                                       std::string_view transfer_syntax_uid,
                                                       const std::function<bool(std::string_view)>& can_decode);

}  // namespace dicom_sender
