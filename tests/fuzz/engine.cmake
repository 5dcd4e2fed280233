# engine.cmake - fuzz targets of the whole library. SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_open SOURCES fuzz_open.c ../unit/store_sample.c DEPENDS capi
    CORPUS ../golden/files MAX_LEN 81920)
if(TARGET fuzz_open)
    target_include_directories(fuzz_open PRIVATE ../unit ../../core/store)
endif()
om_fuzz(fuzz_record SOURCES fuzz_record.c DEPENDS engine CORPUS corpus/fuzz_record MAX_LEN 8192)
