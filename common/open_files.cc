#include "common/open_files.h"

#include <fmt/format.h>
#include <sys/resource.h>

namespace dicom_sender {

tl::expected<void, std::string> AllowOpenFiles(unsigned needed, std::string_view advice) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // the check below detects a failure
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return {};
  return tl::unexpected(fmt::format("{} open files are allowed but {} are needed: raise `ulimit -n`{}{}",
                                    limit.rlim_cur, needed, advice.empty() ? "" : ", or ", advice));
}

}  // namespace dicom_sender
