# filter.cmake - fuzz target of filters (core/meta). SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_filter SOURCES fuzz_filter.c ../unit/meta_filter_fixture.c DEPENDS meta
    CORPUS corpus/fuzz_filter MAX_LEN 4096)
if(TARGET fuzz_filter)
    target_include_directories(fuzz_filter PRIVATE ../unit)
endif()
