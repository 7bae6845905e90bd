#include "coordinator/ledger/sqlite/ledger_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdint>

namespace dicom_sender {
namespace {

constexpr std::int64_t kLockedByte = std::int64_t{1} << 46;  // beyond the largest database of 4 KiB pages
constexpr mode_t kFileMode = 0644;                           // the mode that SQLite uses

struct flock LockOf(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = kLockedByte;
  lock.l_len = 1;
  return lock;
}

}  // namespace

tl::expected<LedgerLock, int> LedgerLock::Take(const std::string& file) {
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode));
  if (!fd.valid()) return tl::unexpected(errno);
  struct flock lock = LockOf(F_WRLCK);
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) return tl::unexpected(errno == EACCES ? EAGAIN : errno);
  return LedgerLock(std::move(fd));
}

bool LedgerLock::IsHeld(const std::string& file) {
  const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return false;
  struct flock lock = LockOf(F_RDLCK);
  return fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace dicom_sender
