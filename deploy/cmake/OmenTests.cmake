# OmenTests.cmake - om_test() and om_fuzz(): programs of the tests, registered with ctest.
# SPDX-License-Identifier: Apache-2.0
#
# Labels: check (part of `make check`), full (only `make check-full`), fuzz (libFuzzer runs). Programs
# made here carry the label c as well: those run under the sanitizers too.

# Against hangs only: a loaded machine may be slow.
set(OMEN_TEST_TIMEOUT 300)
if(OMEN_SANITIZE)
    set(OMEN_TEST_TIMEOUT 900)
endif()

# Whether a test can be built: without the service its tests are left out; anything else that is not
# there is a mistake and ends the configuration, so that no test disappears in silence.
function(om_can_build name out)
    get_property(modules GLOBAL PROPERTY OM_MODULES)
    set(${out} ON PARENT_SCOPE)
    foreach(depend IN LISTS ARGN)
        if(depend IN_LIST modules OR TARGET ${depend})
            continue()
        endif()
        if(OMEN_BUILD_SERVICE)
            message(FATAL_ERROR "${name} depends on ${depend}, which does not exist")
        endif()
        message(STATUS "omendb: ${name} is left out: it needs ${depend}")
        set(${out} OFF PARENT_SCOPE)
    endforeach()
endfunction()

# Links modules (with all they stand on) and other targets. Tests of a module may include its private
# headers.
function(om_link_depends target)
    get_property(modules GLOBAL PROPERTY OM_MODULES)
    set(own "")
    foreach(depend IN LISTS ARGN)
        if(depend IN_LIST modules)
            list(APPEND own ${depend})
            get_target_property(private om_${depend} OM_PRIVATE)
            target_include_directories(${target} PRIVATE ${private})
        else()
            target_link_libraries(${target} PRIVATE ${depend})
        endif()
    endforeach()
    om_module_closure(closure ${own})
    foreach(module IN LISTS closure)
        get_target_property(libs om_${module} OM_LIBS)
        target_link_libraries(${target} PRIVATE om_${module} ${libs})
    endforeach()
    target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${target} PRIVATE omen_flags)
endfunction()

# om_test(<name> SOURCES <files> DEPENDS <modules | omendb | targets> [LABELS check|full ...]
#         [ARGS ...] [ENVIRONMENT VAR=value ...] [TIMEOUT seconds] [SERIAL])
# A cmocka program.
function(om_test name)
    cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SOURCES;DEPENDS;LABELS;ARGS;ENVIRONMENT" ${ARGN})
    if(ARG_UNPARSED_ARGUMENTS OR NOT ARG_SOURCES)
        message(FATAL_ERROR "om_test(${name}): SOURCES missing, or not understood: "
            "${ARG_UNPARSED_ARGUMENTS}")
    endif()
    om_can_build(${name} possible ${ARG_DEPENDS})
    if(NOT possible)
        return()
    endif()
    if(NOT ARG_LABELS)
        set(ARG_LABELS check)
    endif()
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT ${OMEN_TEST_TIMEOUT})
    endif()
    add_executable(${name} ${ARG_SOURCES})
    om_link_depends(${name} ${ARG_DEPENDS})
    target_link_libraries(${name} PRIVATE cmocka)
    add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS} WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS};c" TIMEOUT ${ARG_TIMEOUT}
        SKIP_RETURN_CODE 77)
    if(ARG_ENVIRONMENT)
        set_tests_properties(${name} PROPERTIES ENVIRONMENT "${ARG_ENVIRONMENT}")
    endif()
    if(ARG_SERIAL)
        set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    endif()
endfunction()

# om_fuzz(<name> SOURCES <files> DEPENDS <modules | omendb | targets> [CORPUS <folder>]
#         [MAX_LEN bytes])
# A file with LLVMFuzzerTestOneInput. In the fuzz build it searches for FUZZ_SECONDS (20), starting
# from the corpus; in every other build it replays the corpus and simple damage of it (label check).
function(om_fuzz name)
    cmake_parse_arguments(ARG "" "CORPUS;MAX_LEN" "SOURCES;DEPENDS" ${ARGN})
    om_can_build(${name} possible ${ARG_DEPENDS})
    if(NOT possible)
        return()
    endif()
    if(NOT ARG_MAX_LEN)
        set(ARG_MAX_LEN 65536)
    endif()
    set(corpus "")
    if(ARG_CORPUS)
        cmake_path(ABSOLUTE_PATH ARG_CORPUS BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
            OUTPUT_VARIABLE corpus)
    endif()
    if(OMEN_BUILD_FUZZ)
        add_executable(${name} ${ARG_SOURCES})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        set(work ${CMAKE_CURRENT_BINARY_DIR}/${name}.corpus)
        file(MAKE_DIRECTORY ${work})
        add_test(NAME ${name} WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
            COMMAND sh -c "exec \"$@\" -max_total_time=\${FUZZ_SECONDS:-20}" fuzz
            $<TARGET_FILE:${name}> ${work} ${corpus} -max_len=${ARG_MAX_LEN} -timeout=25
            -rss_limit_mb=2048 -artifact_prefix=${name}. -print_final_stats=1)
        set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 86400)
    else()
        add_executable(${name} ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/tools/fuzz_replay.c)
        add_test(NAME ${name} COMMAND ${name} ${corpus}
            WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
        set_tests_properties(${name} PROPERTIES LABELS "check;c" TIMEOUT ${OMEN_TEST_TIMEOUT})
    endif()
    om_link_depends(${name} ${ARG_DEPENDS})
endfunction()
