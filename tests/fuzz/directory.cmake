# directory.cmake - fuzz targets of the files of a database directory. SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_manifest SOURCES fuzz_manifest.c DEPENDS store CORPUS corpus/fuzz_manifest MAX_LEN 8192)
om_fuzz(fuzz_cursors SOURCES fuzz_cursors.c DEPENDS store CORPUS corpus/fuzz_cursors MAX_LEN 8192)
om_fuzz(fuzz_deaths SOURCES fuzz_deaths.c DEPENDS store CORPUS corpus/fuzz_deaths MAX_LEN 8192)
om_fuzz(fuzz_backup SOURCES fuzz_backup.c DEPENDS store CORPUS corpus/fuzz_backup MAX_LEN 8192)
