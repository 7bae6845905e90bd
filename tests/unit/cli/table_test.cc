#include "cli/table.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"A", "LONG HEADING", "C"});
  table.Add({"1", "x", "last"});
  table.Add({"22222", "\xC3\xA4", ""});
  EXPECT_EQ(table.Text(),
            "A      LONG HEADING  C\n"
            "1      x             last\n"
            "22222  \xC3\xA4             -\n");
}

TEST(Table, WideAndCombiningCharactersStayInLine) {
  Table table({"NAME", "N"});
  table.Add({"日本語", "1"});
  table.Add({"Mu\u0308ller", "2"});
  EXPECT_EQ(table.Text(),
            "NAME    N\n"
            "日本語  1\n"
            "Mu\u0308ller  2\n");
}

TEST(Table, ExternalTextCannotForgeALine) {
  Table table({"A"});
  table.Add({"x\ny\x1b[2J"});
  EXPECT_EQ(table.Text(), "A\nx\\ny\\x1b[2J\n");
}

}  // namespace
}  // namespace dicom_sender
