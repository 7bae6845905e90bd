// Lists the files below the inputs, folder by folder. No file is opened.
//
// The files of a folder come first, then its end, then its subfolders. Each folder is entered once, even if several
// links or inputs lead to it, so loops terminate. Names are sorted in runs of kNamesPerTurn, so a larger folder
// yields several sorted runs. Memory is needed for the folders that were seen (about 100 bytes each), the names of
// those not entered yet, and one run of names, but not for each file.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace dicom_sender {

inline constexpr std::size_t kNamesPerTurn = 8192;

// The folder to which paths are relative: the input itself if it is a folder, or else the folder that contains it.
struct ScanRoot {
  std::string folder;  // absolute, without a trailing slash
  std::string file;    // the input file; empty: all files of the folder
};
// The inputs must exist. The result has the same order.
std::vector<ScanRoot> ScanRoots(const std::vector<std::string>& inputs);

struct WalkEntry {
  enum class Kind {
    kFile,           // anything that is not a folder
    kFolderEnd,      // every file of a folder has been listed
    kFolderProblem,  // a folder cannot be read completely, because of `reason`
  };
  Kind kind = Kind::kFile;
  std::uint32_t root = 0;  // index of its ScanRoot
  std::string path;        // relative to the root; empty if kFolderProblem is about the root itself
  std::string reason;
};

// Not thread-safe.
class FolderWalk {
 public:
  FolderWalk(std::vector<ScanRoot> roots, bool recursive);
  ~FolderWalk();

  // Returns the next entry, or nullopt at the end.
  std::optional<WalkEntry> Next();

 private:
  struct Folder {
    std::uint32_t root = 0;
    std::string path;
  };
  struct CloseFolder {
    void operator()(DIR* folder) const;
  };

  std::optional<WalkEntry> Open(Folder folder);  // an entry for a file or an unreadable folder
  void ReadNames();
  WalkEntry LeaveFolder();
  bool IsFolder(const std::string& name, unsigned char type) const;

  const std::vector<ScanRoot> roots_;
  const bool recursive_;
  std::vector<Folder> waiting_;  // a stack: the next folder is last
  std::set<std::pair<dev_t, ino_t>> seen_;
  std::unique_ptr<DIR, CloseFolder> open_;
  Folder current_;
  bool at_end_ = false;                   // all names of current_ have been read
  int error_ = 0;                         // errno if reading current_ failed
  std::vector<std::string> files_;        // of current_; the next file is last
  std::vector<std::string> sub_folders_;  // of current_
};

}  // namespace dicom_sender
