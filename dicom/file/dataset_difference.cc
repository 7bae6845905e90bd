#include "dicom/file/dataset_difference.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <tl/expected.hpp>

#include "common/read_at.h"
#include "common/unique_fd.h"
#include "dicom/file/dataset_walk.h"
#include "dicom/file/file_header.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kBlockBytes = 256 << 10;

struct Dataset {
  std::string path;
  FileHeader header;
  UniqueFd file;

  std::uint64_t bytes() const { return header.identity.size_bytes - header.dataset_offset; }
};

tl::expected<Dataset, std::string> Open(const std::string& path) {
  const auto failed = [&path](std::string_view why) {
    return tl::unexpected(fmt::format("not compared, because {} cannot be read: {}", path, why));
  };
  auto header = ReadFileHeader(path);
  if (!header) return failed(header.error().reason);
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.valid()) return failed(std::strerror(errno));
  return Dataset{.path = path, .header = *std::move(header), .file = std::move(file)};
}

// Finds the top-level element of the dataset that contains an offset of the file.
class ElementAt : public WalkObserver {
 public:
  explicit ElementAt(std::uint64_t offset) : offset_(offset) {}

  void OnValue(const ElementHeader& header, Encoding, std::uint64_t value_offset) override {
    if (depth_ == 0) Note(header, value_offset);
  }
  void OnOpen(Container, const ElementHeader& header, Encoding, std::uint64_t value_offset) override {
    if (depth_ == 0) Note(header, value_offset);
    ++depth_;
  }
  void OnClose(std::uint64_t) override { --depth_; }
  void OnWrongGuess(std::size_t depth) override { depth_ = depth; }

  const std::optional<std::uint32_t>& tag() const { return tag_; }

 private:
  void Note(const ElementHeader& header, std::uint64_t value_offset) {
    if (value_offset - header.header_bytes <= offset_) tag_ = header.tag;
  }

  const std::uint64_t offset_;
  std::size_t depth_ = 0;
  std::optional<std::uint32_t> tag_;
};

// Names what is at an offset of the dataset: an element, if the structure of the dataset is known.
std::string NameOf(const Dataset& dataset, std::uint64_t offset_in_dataset) {
  const TransferSyntax* syntax = FindTransferSyntax(dataset.header.transfer_syntax_uid);
  if (syntax == nullptr || syntax->deflated()) return "the dataset";
  FileReader reader(dataset.file.get(), dataset.header.identity.size_bytes);
  ElementAt element(dataset.header.dataset_offset + offset_in_dataset);
  DatasetFacts facts;
  if (!reader.Skip(dataset.header.dataset_offset)) return "the dataset";
  const auto walked = WalkDataset(reader, syntax->encoding, facts, &element);
  return walked && element.tag() ? TagName(*element.tag()) : "the dataset";
}

// Counts the equal bytes at the beginning of both datasets. The error says which file could not be read.
tl::expected<std::uint64_t, std::string> EqualBytes(const Dataset& a, const Dataset& b, const std::stop_token& stop) {
  const auto blocks = std::make_unique<std::array<std::array<std::uint8_t, kBlockBytes>, 2>>();
  const std::uint64_t end = std::min(a.bytes(), b.bytes());
  for (std::uint64_t at = 0; at < end;) {
    if (stop.stop_requested()) return tl::unexpected(std::string("not compared: stopped"));
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, end - at));
    for (const Dataset* dataset : {&a, &b}) {
      auto& block = (*blocks)[dataset == &b];
      if (ReadAt(dataset->file.get(), std::span(block).first(count), dataset->header.dataset_offset + at) !=
          static_cast<ssize_t>(count)) {
        return tl::unexpected(
            fmt::format("not compared, because {} became shorter or cannot be read", dataset->path));
      }
    }
    const auto& [first, second] = *blocks;
    const auto differs =
        std::mismatch(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(count), second.begin());
    const auto equal = static_cast<std::size_t>(differs.first - first.begin());
    at += equal;
    if (equal < count) return at;
  }
  return end;
}

}  // namespace

std::string DatasetDifference(const std::string& path, const std::string& other_path, const std::stop_token& stop) {
  const auto a = Open(path);
  if (!a) return a.error();
  const auto b = Open(other_path);
  if (!b) return b.error();
  if (a->header.transfer_syntax_uid != b->header.transfer_syntax_uid) {
    return fmt::format("transfer syntax {} instead of {}", a->header.transfer_syntax_uid,
                       b->header.transfer_syntax_uid);
  }
  if (a->header.study_instance_uid != b->header.study_instance_uid) {
    return fmt::format("Study Instance UID '{}' instead of '{}'", a->header.study_instance_uid,
                       b->header.study_instance_uid);
  }
  const auto equal = EqualBytes(*a, *b, stop);
  if (!equal) return equal.error();
  if (*equal == a->bytes() && *equal == b->bytes()) return {};
  // If one dataset ends here, the longer one has the element that differs.
  const Dataset& longer = a->bytes() >= b->bytes() ? *a : *b;
  const bool goes_on = *equal == std::min(a->bytes(), b->bytes());
  return fmt::format("{} {}", NameOf(goes_on ? longer : *a, *equal), goes_on ? "is in one of them only" : "differs");
}

}  // namespace dicom_sender
