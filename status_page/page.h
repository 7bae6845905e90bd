// The contents of the files in page/, compiled into the program.
#pragma once

namespace dicom_sender {

extern const char* const kPageHtml;
extern const char* const kPageCss;
extern const char* const kPageJs;

}  // namespace dicom_sender
