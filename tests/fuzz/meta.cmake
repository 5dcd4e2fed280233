# meta.cmake - fuzz targets of core/meta. SPDX-License-Identifier: Apache-2.0
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
om_fuzz(fuzz_meta_json SOURCES fuzz_meta_json.c DEPENDS meta PkgConfig::JANSSON
    CORPUS corpus/fuzz_meta_json MAX_LEN 8192)
om_fuzz(fuzz_meta_block SOURCES fuzz_meta_block.c DEPENDS meta CORPUS corpus/fuzz_meta_block MAX_LEN 32768)
