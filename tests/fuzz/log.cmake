# log.cmake - the fuzz target of the log. SPDX-License-Identifier: Apache-2.0
if(TARGET om_sim)
    om_fuzz(fuzz_wal SOURCES fuzz_wal.c DEPENDS om_sim store CORPUS corpus/fuzz_wal MAX_LEN 16384)
endif()
