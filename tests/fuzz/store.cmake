# store.cmake - fuzz targets of core/store. SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_segfile SOURCES fuzz_segfile.c ../unit/store_sample.c DEPENDS store
    CORPUS corpus/fuzz_segfile MAX_LEN 32768)
if(TARGET fuzz_segfile)
    target_include_directories(fuzz_segfile PRIVATE ../unit)
endif()
