# The files that `cmake --install` and the Debian package install.
include(GNUInstallDirs)
set(programs dicom-sender dicom-indexer dicom-coordinator dicom-worker dicom-ctl)
if(DICOM_SENDER_POSTGRESQL)
  list(APPEND programs dicom-ledger)
endif()
install(TARGETS ${programs}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
include(Package)
