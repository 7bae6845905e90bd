// Lists the files below the inputs, folder by folder. No file is opened.
//
// A folder's files come first, then the end of the folder, then its sub-folders. Each folder is entered once, however
// many links or inputs lead to it, so loops end. Names come sorted, kNamesPerTurn at a time: a larger folder comes in
// several sorted runs. Memory: the folders that were seen (some 100 bytes each), the names of those that are still to
// be entered, and one run of names; nothing for each file.
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

// Where paths start. For an input that is a folder, the folder; for a file, the folder that it is in.
struct ScanRoot {
  std::string folder;  // absolute, without a slash at its end
  std::string file;    // the only one that is meant; empty: all
};
// Of inputs that exist. In their order.
std::vector<ScanRoot> ScanRoots(const std::vector<std::string>& inputs);

struct WalkEntry {
  enum class Kind {
    kFile,           // anything that is no folder
    kFolderEnd,      // every file of a folder has been listed
    kFolderProblem,  // a folder that cannot be read, or not to its end: `reason`
  };
  Kind kind = Kind::kFile;
  std::uint32_t root = 0;  // index of its ScanRoot
  std::string path;        // relative to the root; of kFolderProblem it may be empty: the root itself
  std::string reason;
};

// One thread.
class FolderWalk {
 public:
  FolderWalk(std::vector<ScanRoot> roots, bool recursive);
  ~FolderWalk();

  // The next entry; nullopt: there is no more.
  std::optional<WalkEntry> Next();

 private:
  struct Folder {
    std::uint32_t root = 0;
    std::string path;
  };
  struct CloseFolder {
    void operator()(DIR* folder) const;
  };

  std::optional<WalkEntry> Open(Folder folder);  // an entry instead, if it is no folder to be read
  void ReadNames();
  WalkEntry LeaveFolder();
  bool IsFolder(const std::string& name, unsigned char type) const;

  const std::vector<ScanRoot> roots_;
  const bool recursive_;
  std::vector<Folder> waiting_;  // the next one at the end
  std::set<std::pair<dev_t, ino_t>> seen_;
  std::unique_ptr<DIR, CloseFolder> open_;
  Folder current_;
  bool at_end_ = false;                   // every name of the current one has been read,
  int error_ = 0;                         // or no more can be
  std::vector<std::string> files_;        // of the current one, the next one at the end
  std::vector<std::string> sub_folders_;  // of the current one
};

}  // namespace dicom_sender
