#include "common/open_files.h"

#include <fmt/format.h>
#include <sys/resource.h>

namespace dicom_sender {

tl::expected<void, std::string> AllowOpenFiles(unsigned needed) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // if it fails, the check below tells
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return {};
  return tl::unexpected(fmt::format(
      "{} open files are allowed and {} needed: raise `ulimit -n`, or give fewer --threads", limit.rlim_cur, needed));
}

}  // namespace dicom_sender
