/* engine_backup.c - backup, restore, verify. SPDX-License-Identifier: Apache-2.0 */
#include "engine_disk.h"

omen_status_t om_backup(omen_db *db, const char *path, const omen_backup_options *opt,
                        omen_backup_result *out, omen_error *err)
{
    (void)db;
    (void)opt;
    (void)out;
    return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_NONE, "backup to %s", path);
}

omen_status_t om_restore(const struct om_io *io, const char *from, const char *to,
                         const omen_backup_options *opt, omen_backup_result *out, omen_error *err)
{
    (void)io;
    (void)opt;
    (void)out;
    return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_NONE, "restore of %s to %s", from, to);
}

omen_status_t om_verify(const struct om_io *io, const char *path, const omen_backup_options *opt,
                        omen_backup_result *out, omen_error *err)
{
    (void)io;
    (void)opt;
    (void)out;
    return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_NONE, "verify of %s", path);
}
