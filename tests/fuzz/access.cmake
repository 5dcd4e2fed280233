# access.cmake - fuzz target of tokens and their keys. SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_jwt SOURCES fuzz_jwt.c DEPENDS om_access CORPUS corpus/fuzz_jwt MAX_LEN 8192)
if(TARGET fuzz_jwt)
    target_link_libraries(fuzz_jwt PRIVATE PkgConfig::CRYPTO)
endif()
