# The compiler and linker options of every target.
add_library(dicom_sender_options INTERFACE)
target_compile_options(dicom_sender_options INTERFACE
  # GCC 12 gives false warnings about inlined std::string and std::vector (such as GCC bug 105651).
  "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-array-bounds;-Wno-stringop-overread;-Wno-stringop-overflow>"
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wconversion -Wno-sign-conversion -Werror)
if(DICOM_SENDER_SANITIZE)
  target_compile_options(dicom_sender_options INTERFACE
    -fsanitize=${DICOM_SENDER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # GCC 12 gives false warnings about instrumented code
  target_link_options(dicom_sender_options INTERFACE -fsanitize=${DICOM_SENDER_SANITIZE})
endif()
if(DICOM_SENDER_FUZZ)
  target_compile_options(dicom_sender_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# dicom_sender_export_headers(NAME VISIBILITY)
#
# Makes an include that violates the dependencies fail to compile. Headers are included by their path from the top
# ("coordinator/scheduler/scheduler.h"), but a target sees only the headers of the libraries that it links: each library
# exports an include root of its own that contains only links to the headers of its folder, without those of the folders
# below it.
function(dicom_sender_export_headers NAME VISIBILITY)
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(include_root ${CMAKE_BINARY_DIR}/include/${NAME})
  file(REMOVE_RECURSE ${include_root})
  file(MAKE_DIRECTORY ${include_root}/${folder})
  file(GLOB headers CONFIGURE_DEPENDS *.h)
  foreach(header IN LISTS headers)
    get_filename_component(name ${header} NAME)
    file(CREATE_LINK ${header} ${include_root}/${folder}/${name} SYMBOLIC)
  endforeach()
  target_include_directories(${NAME} ${VISIBILITY} ${include_root})
endfunction()

# dicom_sender_library(NAME SOURCES ... LINKS ... PRIVATE_LINKS ...): adds the library of the current folder.
function(dicom_sender_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${NAME} STATIC ${ARG_SOURCES})
  dicom_sender_export_headers(${NAME} PUBLIC)
  target_link_libraries(${NAME} PUBLIC ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS} dicom_sender_options)
endfunction()

# What every test program is compiled with. Compiling the tests takes longer than running them.
function(dicom_sender_test_options NAME)
  target_link_libraries(${NAME} PRIVATE GTest::gmock GTest::gtest_main dicom_sender_options)
  target_compile_options(${NAME} PRIVATE $<$<CONFIG:Release>:-O0>)
endfunction()

# dicom_sender_test(NAME SOURCES ... LINKS ... LABELS ... [TOGETHER]): adds a GoogleTest program, with one ctest entry
# for each test. TOGETHER makes one entry for all of them, where they share a PostgreSQL server, which is slow to start.
function(dicom_sender_test NAME)
  cmake_parse_arguments(ARG "TOGETHER" "" "SOURCES;LINKS;LABELS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LINKS})
  dicom_sender_test_options(${NAME})
  target_precompile_headers(${NAME} REUSE_FROM googletest_headers)
  if(ARG_TOGETHER)
    add_test(NAME ${NAME} COMMAND ${NAME} --gtest_brief=1)
    set_tests_properties(${NAME} PROPERTIES TIMEOUT 300 LABELS "${ARG_LABELS}"
      SKIP_REGULAR_EXPRESSION "PostgreSQL is not installed;there is no user 'postgres'")
  else()
    gtest_discover_tests(${NAME} NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 120 LABELS "${ARG_LABELS}")
  endif()
endfunction()
