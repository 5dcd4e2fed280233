# engine_backup.cmake - unit tests of backups. SPDX-License-Identifier: Apache-2.0
set(journal engine_journal.c engine_fixture.c)
om_test(engine_backup_test SOURCES engine_backup_test.c ${journal} DEPENDS engine capi)
om_test(engine_backup_fault_test SOURCES engine_backup_fault_test.c ${journal}
    DEPENDS engine capi om_sim)
