# simd.cmake - unit tests of core/simd. SPDX-License-Identifier: Apache-2.0
om_test(simd_kernels_test SOURCES simd_kernels_test.c simd_checks_bytes.c simd_checks_floats.c
    simd_checks_scan.c DEPENDS simd)
om_test(simd_dispatch_test SOURCES simd_dispatch_test.c DEPENDS simd)

# The NEON kernels run here too, when a cross compiler and an emulator are installed.
find_program(OMEN_AARCH64_CC aarch64-linux-gnu-gcc)
find_program(OMEN_AARCH64_RUN NAMES qemu-aarch64 qemu-aarch64-static)
if(OMEN_AARCH64_CC AND OMEN_AARCH64_RUN AND NOT OMEN_SANITIZE AND NOT OMEN_COVERAGE
   AND NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(core ${PROJECT_SOURCE_DIR}/core)
    set(sources ${CMAKE_CURRENT_SOURCE_DIR}/simd_emulated_main.c)
    foreach(name IN ITEMS bytes floats scan)
        list(APPEND sources ${CMAKE_CURRENT_SOURCE_DIR}/simd_checks_${name}.c)
    endforeach()
    foreach(name IN ITEMS scalar scalar_scan dispatch neon neon_float neon_convert neon_scan)
        list(APPEND sources ${core}/simd/simd_${name}.c)
    endforeach()
    set(program ${CMAKE_CURRENT_BINARY_DIR}/simd_neon_emulated)
    file(GLOB headers CONFIGURE_DEPENDS ${core}/simd/*.h ${core}/simd/include/*.h
        ${CMAKE_CURRENT_SOURCE_DIR}/simd_checks.h)
    add_custom_command(OUTPUT ${program}
        COMMAND ${OMEN_AARCH64_CC} -std=c17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror
            -ffp-contract=off -static -I${core}/simd/include -I${core}/simd
            -I${core}/base/include -I${PROJECT_SOURCE_DIR}/capi/include
            -I${CMAKE_CURRENT_SOURCE_DIR} ${sources} -lm -o ${program}
        DEPENDS ${sources} ${headers}
        COMMENT "Cross-compiling the NEON kernels and their test"
        VERBATIM)
    add_custom_target(simd_neon_emulated_program ALL DEPENDS ${program})
    add_test(NAME simd_neon_emulated COMMAND ${OMEN_AARCH64_RUN} ${program} neon)
    set_tests_properties(simd_neon_emulated PROPERTIES LABELS check TIMEOUT ${OMEN_TEST_TIMEOUT})
endif()
