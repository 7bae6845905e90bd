#include "worker/loop/path_map.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

PathMap Map(const std::vector<std::string>& pairs) {
  PathMap map;
  for (const std::string& pair : pairs) EXPECT_TRUE(map.Add(pair)) << pair;
  return map;
}

TEST(PathMap, ReplacesWholeFoldersOnly) {
  const PathMap map = Map({"/data=/mnt/nas"});
  EXPECT_EQ(map.Apply("/data"), "/mnt/nas");
  EXPECT_EQ(map.Apply("/data/a/b"), "/mnt/nas/a/b");
  EXPECT_EQ(map.Apply("/database/a"), "/database/a");
  EXPECT_EQ(map.Apply("/other/data"), "/other/data");
  EXPECT_EQ(PathMap().Apply("/data"), "/data");
}

TEST(PathMap, TheLongestFolderWinsInAnyOrder) {
  for (const PathMap& map : {Map({"/data=/a", "/data/ct=/b"}), Map({"/data/ct=/b", "/data=/a"})}) {
    EXPECT_EQ(map.Apply("/data/ct/1"), "/b/1");
    EXPECT_EQ(map.Apply("/data/mr/1"), "/a/mr/1");
  }
}

TEST(PathMap, TheRootIsAFolderToo) {
  EXPECT_EQ(Map({"/=/mnt"}).Apply("/data/1"), "/mnt/data/1");
  EXPECT_EQ(Map({"/=/mnt"}).Apply("/"), "/mnt/");
  EXPECT_EQ(Map({"/data=/"}).Apply("/data/1"), "/1");
  EXPECT_EQ(Map({"/data=/"}).Apply("/data"), "/");
}

TEST(PathMap, TrailingSlashesAndFurtherEqualsSignsAreIgnored) {
  EXPECT_EQ(Map({"/data/=/mnt/a=b//"}).Apply("/data/1"), "/mnt/a=b/1");
}

TEST(PathMap, RefusesAnythingButAPairOfAbsolutePaths) {
  for (const char* text : {"", "/data", "=", "/data=", "=/mnt", "data=/mnt", "/data=mnt"}) {
    PathMap map;
    const auto added = map.Add(text);
    ASSERT_FALSE(added) << text;
    EXPECT_NE(added.error().find("FROM=TO"), std::string::npos) << added.error();
  }
}

}  // namespace
}  // namespace dicom_sender
