// dcmtk-load FOLDER: reads every file of a folder with DCMTK's DcmFileFormat::loadFile in one thread, and prints the
// number of files.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <cstdio>
#include <filesystem>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  unsigned long loaded = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (!entry.is_regular_file()) continue;
    DcmFileFormat file;
    if (file.loadFile(entry.path().c_str()).bad()) {
      std::fprintf(stderr, "dcmtk-load: %s\n", entry.path().c_str());
      return 1;
    }
    ++loaded;
  }
  std::printf("loaded %lu\n", loaded);
  return 0;
}
