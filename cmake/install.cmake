# SPDX-License-Identifier: BSD-3-Clause
# The C++ side: libconvcore.a, headers below include/convcore, and the CMake package that find_package(convcore) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/convcore)

install(TARGETS convcore_core EXPORT convcore ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cpp)
install(EXPORT convcore NAMESPACE convcore:: FILE convcoreTargets.cmake DESTINATION ${package_dir} COMPONENT cpp)
configure_package_config_file(cmake/convcoreConfig.cmake.in convcoreConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(convcoreConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/convcoreConfig.cmake ${PROJECT_BINARY_DIR}/convcoreConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT cpp)

# Here headers include each other as "base/error.h"; installed ones as "convcore/base/error.h", so that a consumer's
# include path gains one folder and no such common names as base/ and graph/.
install(CODE "
  set(source \"${PROJECT_SOURCE_DIR}/cpp\")
  set(staged \"${PROJECT_BINARY_DIR}/installed_headers\")
  file(REMOVE_RECURSE \"\${staged}\")
  foreach(header base/cpu.h base/error.h base/memory.h base/tensor.h base/threads.h graph/graph.h graph/optimizer.h
                 graph/program.h graph/step_info.h ops/attributes.h ops/op.h include/convcore/convcore.h)
    file(READ \"\${source}/\${header}\" text)
    string(REGEX REPLACE \"#include \\\"(base|graph|ops)/\" \"#include \\\"convcore/\\\\1/\" text \"\${text}\")
    string(REPLACE include/convcore/ \"\" header \"\${header}\")
    file(WRITE \"\${staged}/\${header}\" \"\${text}\")
  endforeach()" COMPONENT cpp)
install(DIRECTORY ${PROJECT_BINARY_DIR}/installed_headers/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/convcore
        COMPONENT cpp)
