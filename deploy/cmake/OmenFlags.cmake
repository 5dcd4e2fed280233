# OmenFlags.cmake - the target omen_flags: warnings, hardening, sanitizers. Libraries and programs link
# it, programs too: a sanitizer runtime is found only when the link knows of it.
# SPDX-License-Identifier: Apache-2.0
add_library(omen_flags INTERFACE)
target_compile_definitions(omen_flags INTERFACE _GNU_SOURCE OMEN_ASSERT=${OMEN_ASSERT})
target_compile_options(omen_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wundef -Wcast-qual -fno-semantic-interposition -ffp-contract=off -fstack-protector-strong
    -fno-strict-overflow -fno-common)
target_link_libraries(omen_flags INTERFACE Threads::Threads m)

if(OMEN_WERROR)
    target_compile_options(omen_flags INTERFACE -Werror)
endif()
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    target_compile_options(omen_flags INTERFACE -Wthread-safety)
endif()
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(arm|aarch64)" OR CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(omen_flags INTERFACE -fstack-clash-protection)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i.86)$")
    target_compile_options(omen_flags INTERFACE -fcf-protection)
endif()

if(OMEN_SANITIZE)
    target_compile_options(omen_flags INTERFACE
        -fsanitize=${OMEN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(omen_flags INTERFACE -fsanitize=${OMEN_SANITIZE})
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # gcc checks less constants before it warns when it instruments; the other builds keep the warning.
        target_compile_options(omen_flags INTERFACE -Wno-conversion)
    endif()
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    # Fortified calls need optimisation, and would hide what the sanitizers look at.
    target_compile_options(omen_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(OMEN_BUILD_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "OMEN_BUILD_FUZZ needs clang: use the preset 'fuzz'")
    endif()
    target_compile_options(omen_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(OMEN_COVERAGE)
    target_compile_options(omen_flags INTERFACE --coverage)
    target_link_options(omen_flags INTERFACE --coverage)
endif()

# What is shipped must not know where it was built: two builds in different folders are the same bytes. Builds
# for development keep full paths, which debuggers and coverage want.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(omen_flags INTERFACE -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.
        -ffile-prefix-map=${PROJECT_BINARY_DIR}=./build)
endif()

target_link_options(omen_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(NOT OMEN_BUILD_FUZZ AND NOT (OMEN_SANITIZE AND CMAKE_C_COMPILER_ID MATCHES "Clang"))
    # clang leaves the sanitizer runtime to the program, so its shared libraries have open symbols.
    target_link_options(omen_flags INTERFACE -Wl,-z,defs)
endif()

# om_harden(<target>): what is shipped says that it stands indirect-branch tracking and shadow stacks, where the
# linker can. The C library's startup files are not marked and would take the mark from everything; what they
# bring that is jumped at through a pointer is left out (_init, _fini) or gets a landing place (service/entry.c).
include(CheckLinkerFlag)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$" AND NOT OMEN_SANITIZE AND NOT OMEN_COVERAGE)
    check_linker_flag(C "-Wl,-z,ibt,-z,shstk" OMEN_LINKER_CET)
endif()
function(om_harden target)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE" AND CMAKE_INSTALL_LIBDIR STREQUAL "lib")
        # The build tree is laid out as what is installed. CMake would pad the path that it puts in later with an
        # empty element, which means the working directory.
        set_target_properties(${target} PROPERTIES BUILD_WITH_INSTALL_RPATH ON)
    endif()
    if(NOT OMEN_LINKER_CET)
        return()
    endif()
    target_link_options(${target} PRIVATE
        -Wl,-z,ibt,-z,shstk -Wl,-init=om_no_init,-fini=om_no_fini)
    if(type STREQUAL "EXECUTABLE")
        target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/service/entry.c)
        target_link_options(${target} PRIVATE -Wl,-e,om_entry)
    endif()
endfunction()
