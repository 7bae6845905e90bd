# The Debian package: `cmake --build build/release --target package` writes dicom-sender_VERSION_ARCHITECTURE.deb there.
#
# Beside the programs it holds what belongs to a Debian system (component `system`): units, their settings, manual
# pages, completion, documents. A plain `cmake --install` leaves that out, so a build needs none of these files.
set(here ${CMAKE_SOURCE_DIR}/deploy)

# install_system(...): install(), for the package alone.
function(install_system)
  install(${ARGV} COMPONENT system EXCLUDE_FROM_ALL)
endfunction()

# For your own Prometheus and Grafana, see docs/operations.md.
set(examples ${CMAKE_INSTALL_DOCDIR}/examples)
install_system(FILES ${here}/prometheus/prometheus.yml DESTINATION ${examples}/prometheus)
install_system(FILES ${here}/prometheus/rules/dicom_sender.yml ${here}/prometheus/rules/dicom_sender_alerts.yml
  DESTINATION ${examples}/prometheus/rules)
install_system(DIRECTORY ${here}/grafana DESTINATION ${examples})
install_system(FILES ${here}/systemd/dicom-coordinator.service ${here}/systemd/dicom-worker.service
  ${here}/systemd/dicom-sender@.service ${here}/systemd/dicom-sender@.timer DESTINATION lib/systemd/system)
install_system(FILES ${here}/systemd/migration.toml DESTINATION ${examples})
install_system(FILES ${here}/systemd/coordinator.env ${here}/systemd/worker.env DESTINATION /etc/dicom-sender)
install_system(DIRECTORY DESTINATION /etc/dicom-sender/clients)

# bash and fish look a completion up by the command's name.
install_system(FILES ${here}/package/bash-completion DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME dicom-sender)
install_system(FILES ${here}/package/fish-completion DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
  RENAME dicom-sender.fish)
install_system(FILES ${here}/package/zsh-completion DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions
  RENAME _dicom-sender)
set(share "\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}")
foreach(program IN LISTS programs)
  if(NOT program STREQUAL dicom-sender)
    install_system(CODE "file(CREATE_LINK dicom-sender \"${share}/bash-completion/completions/${program}\" SYMBOLIC)
      file(CREATE_LINK dicom-sender.fish \"${share}/fish/vendor_completions.d/${program}.fish\" SYMBOLIC)")
  endif()
endforeach()

# Manual pages are what the programs say of themselves at this moment. Debian has them compressed, and so is what
# changed; -n leaves the time out, so that the same source makes the same package.
set(made ${CMAKE_BINARY_DIR}/package)
install_system(CODE "file(MAKE_DIRECTORY ${made})")
foreach(program IN LISTS programs)
  install_system(CODE "execute_process(COMMAND ${here}/package/man-page.sh $<TARGET_FILE:${program}>
    COMMAND gzip -9n OUTPUT_FILE ${made}/${program}.1.gz COMMAND_ERROR_IS_FATAL ANY)")
  install_system(FILES ${made}/${program}.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endforeach()
install_system(CODE "execute_process(COMMAND gzip -9nc ${CMAKE_SOURCE_DIR}/CHANGELOG.md
  OUTPUT_FILE ${made}/changelog.gz COMMAND_ERROR_IS_FATAL ANY)")
install_system(FILES ${made}/changelog.gz ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CONTRIBUTING.md
  ${CMAKE_SOURCE_DIR}/SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install_system(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
file(GLOB documents CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md)
install_system(FILES ${documents} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install_system(FILES ${CMAKE_SOURCE_DIR}/docs/pictures/dicom-sender.svg ${CMAKE_SOURCE_DIR}/docs/pictures/status-page.png
  DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs/pictures)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME dicom-sender)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_CONTACT "The authors of dicom-sender <dicom-sender@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "sends DICOM files to an archive by C-STORE")
set(CPACK_PACKAGE_DESCRIPTION
"Sends folders full of DICOM files to a PACS or a research archive, one
association for each study, goes on where it was interrupted, and reports
for each instance what the archive answered.

dicom-sender does so on one machine; dicom-coordinator, dicom-worker and
dicom-indexer share a migration among many, and dicom-ctl shows and directs
it. The services are neither enabled nor started by the installation.")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_COMPONENTS_ALL Unspecified system)
set(CPACK_DEBIAN_PACKAGE_NAME dicom-sender)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS systemd)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS bash-completion)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${here}/package/conffiles ${here}/package/postinst ${here}/package/prerm ${here}/package/postrm)
include(CPack)
