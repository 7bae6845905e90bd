// Collects descriptions of flaws in a peer's messages that a receiver ignores because they do not matter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace dicom_sender {

// Each remark is a noun phrase, such as "a user information item that is repeated". It is kept once. The number of
// remarks is limited because their text can depend on the peer.
class Remarks {
 public:
  // Returns false if the remark is already there or the limit is reached.
  bool Add(std::string remark) {
    if (all_.size() == kRemarksMax || std::ranges::find(all_, remark) != all_.end()) return false;
    all_.push_back(std::move(remark));
    return true;
  }
  const std::vector<std::string>& all() const { return all_; }

 private:
  static constexpr std::size_t kRemarksMax = 16;
  std::vector<std::string> all_;
};

}  // namespace dicom_sender
