#include "cli/display_width.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

constexpr const char* kDecomposed = "a\u0308o\u0308";      // "äö" as letters and combining marks
constexpr const char* kHangulJamo = "\u1112\u1161\u11AB";  // "한" as its parts
constexpr const char* kThai = "\u0E17\u0E35\u0E48";        // a consonant with a vowel sign and a tone mark above it

TEST(Columns, EastAsianWideCharactersTakeTwo) {
  EXPECT_EQ(Columns(""), 0U);
  EXPECT_EQ(Columns("abc"), 3U);
  EXPECT_EQ(Columns("äöü"), 3U);
  EXPECT_EQ(Columns("日本"), 4U);
  EXPECT_EQ(Columns("한국"), 4U);
  EXPECT_EQ(Columns("ｱｲ"), 2U) << "halfwidth";
  EXPECT_EQ(Columns("ＡＢ"), 4U) << "fullwidth";
  EXPECT_EQ(Columns("✅█😀"), 5U);
}

TEST(Columns, CombiningCharactersTakeNone) {
  EXPECT_EQ(Columns(kDecomposed), 2U);
  EXPECT_EQ(Columns(kHangulJamo), 2U);
  EXPECT_EQ(Columns(kThai), 1U);
  EXPECT_EQ(Columns("🇯🇵"), 2U) << "a flag of two letters";
  EXPECT_EQ(Columns("a\u200Bb"), 2U) << "a zero width space";
}

TEST(ClipToColumns, CountsColumnsNotBytes) {
  EXPECT_EQ(ClipToColumns("abc", 0), "");
  EXPECT_EQ(ClipToColumns("abc", 2), "ab");
  EXPECT_EQ(ClipToColumns("äöü", 2), "äö");
  EXPECT_EQ(ClipToColumns("日本", 3), "日");
  EXPECT_EQ(ClipToColumns("日本", 4), "日本");
  EXPECT_EQ(ClipToColumns("✅█😀x", 4), "✅█");
  EXPECT_EQ(ClipToColumns("✅█😀x", 5), "✅█😀");
}

TEST(ClipToColumns, KeepsCombiningMarksWithTheirCharacter) {
  EXPECT_EQ(ClipToColumns(kDecomposed, 1), "a\u0308");
  EXPECT_EQ(ClipToColumns(kDecomposed, 2), kDecomposed);
  EXPECT_EQ(ClipToColumns(kHangulJamo, 1), "");
  EXPECT_EQ(ClipToColumns(kHangulJamo, 2), kHangulJamo);
}

}  // namespace
}  // namespace dicom_sender
