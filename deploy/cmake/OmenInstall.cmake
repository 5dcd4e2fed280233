# OmenInstall.cmake - header, libraries, pkg-config file and CMake package.
# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)
get_property(libs GLOBAL PROPERTY OM_LIBS)
list(REMOVE_DUPLICATES libs)
set(OMEN_PC_PRIVATE "-lm -pthread")
foreach(lib IN LISTS libs)
    string(APPEND OMEN_PC_PRIVATE " -l${lib}")
endforeach()

install(TARGETS omendb EXPORT omendb-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_BINARY_DIR}/lib/libomendb.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES capi/include/omen.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# The file finds its prefix from its own place: the tree may be moved.
file(RELATIVE_PATH OMEN_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(deploy/cmake/omendb.pc.in generated/omendb.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/generated/omendb.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/omendb)
configure_package_config_file(deploy/cmake/omendb-config.cmake.in generated/omendb-config.cmake
    INSTALL_DESTINATION ${package} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/omendb-config-version.cmake
    COMPATIBILITY SameMajorVersion)
install(EXPORT omendb-targets NAMESPACE omendb:: DESTINATION ${package})
install(FILES ${PROJECT_BINARY_DIR}/generated/omendb-config.cmake
    ${PROJECT_BINARY_DIR}/generated/omendb-config-version.cmake DESTINATION ${package})
