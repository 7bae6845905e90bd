# What `cmake --install` puts in place, and the Debian package, too.
include(GNUInstallDirs)
set(programs dicom-sender dicom-indexer dicom-coordinator dicom-worker dicom-ctl)
if(DICOM_SENDER_POSTGRESQL)
  list(APPEND programs dicom-ledger)
endif()
install(TARGETS ${programs}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
include(Package)
