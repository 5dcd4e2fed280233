# tool.cmake - fuzz targets of the omen tool. SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_import SOURCES fuzz_import.c DEPENDS om_import CORPUS corpus/fuzz_import MAX_LEN 4096)
om_fuzz(fuzz_dump SOURCES fuzz_dump.c DEPENDS om_import CORPUS corpus/fuzz_dump MAX_LEN 4096)
