# engine_backup.cmake - unit tests of backups. SPDX-License-Identifier: Apache-2.0
om_test(engine_backup_test SOURCES engine_backup_test.c engine_journal.c engine_fixture.c
    DEPENDS engine capi om_sim)
