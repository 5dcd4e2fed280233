# OmenLibrary.cmake - libomendb.so and libomendb.a out of the modules.
# SPDX-License-Identifier: Apache-2.0
get_property(built GLOBAL PROPERTY OM_BUILT)
get_property(libs GLOBAL PROPERTY OM_LIBS)
list(REMOVE_DUPLICATES libs)
set(objects "")
foreach(module IN LISTS built)
    list(APPEND objects $<TARGET_OBJECTS:om_${module}>)
endforeach()

set(OMEN_MAP ${PROJECT_SOURCE_DIR}/capi/omendb.map)
add_library(omendb SHARED ${objects})
target_include_directories(omendb PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/capi/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(omendb PRIVATE $<BUILD_INTERFACE:omen_flags> ${libs})
target_link_options(omendb PRIVATE
    -Wl,--version-script=${OMEN_MAP} -Wl,--no-undefined-version -Wl,-Bsymbolic-functions)
set_target_properties(omendb PROPERTIES LINKER_LANGUAGE C INSTALL_RPATH "" SOVERSION ${OMEN_ABI_MAJOR}
    VERSION ${OMEN_ABI_MAJOR}.${OMEN_ABI_MINOR}.0 LINK_DEPENDS ${OMEN_MAP}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
om_harden(omendb)
add_library(omendb::omendb ALIAS omendb)

# The archive holds one object whose hidden symbols are local, so that om_* names of two copies in one
# program, or of somebody else, cannot meet.
set(archive ${PROJECT_BINARY_DIR}/lib/libomendb.a)
set(linked ${PROJECT_BINARY_DIR}/lib/omendb.o)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
add_custom_command(OUTPUT ${archive}
    COMMAND ${CMAKE_LINKER} -r -o ${linked} ${objects}
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${linked}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${CMAKE_AR} rcs ${archive} ${linked}
    DEPENDS ${objects}
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Linking libomendb.a")
add_custom_target(omendb_archive ALL DEPENDS ${archive})
add_library(omendb_static STATIC IMPORTED GLOBAL)
add_dependencies(omendb_static omendb_archive)
set_target_properties(omendb_static PROPERTIES IMPORTED_LOCATION ${archive}
    INTERFACE_INCLUDE_DIRECTORIES ${PROJECT_SOURCE_DIR}/capi/include)
target_link_libraries(omendb_static INTERFACE Threads::Threads m ${libs})
if(OMEN_SANITIZE)
    target_link_options(omendb_static INTERFACE -fsanitize=${OMEN_SANITIZE})
endif()
