# What `cmake --install` puts in place, and the Debian package, too.
include(GNUInstallDirs)
install(TARGETS dicom-sender dicom-indexer dicom-coordinator dicom-worker dicom-ctl
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
include(Package)
