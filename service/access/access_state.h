/* access_state.h - the whole of om_access, for the files that make it up.
 * Depends on: access_int.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ACCESS_STATE_H
#define OM_ACCESS_STATE_H
#include "access_int.h"

typedef struct om_bootstrap {
    size_t count;
    uint8_t hashes[OM_BOOTSTRAP_MAX][OM_HASH];
    om_box *boxes[OM_BOOTSTRAP_MAX];
} om_bootstrap;

struct om_access {
    om_metrics *metrics;
    om_slog *log;
    om_audit *audit;
    om_cache *cache;
    om_tenants *tenants;
    om_tenant *everybody; /* the tenant `default` */
    om_box *anonymous;    /* everybody, where nothing is asked */
    om_box *nobody; /* who needs no credential; may do nothing else, where they are asked for */
    bool required, certificates, has_jwt, has_bootstrap, check;
    char *jwt_algorithm, *jwt_issuer, *jwt_audience; /* NULL: not given */
    om_watched bootstrap_file, jwt_file;
    pthread_mutex_t
        write; /* one change of the catalogue at a time; guards catalog and what was saved */
    om_catalog *catalog; /* NULL: none */
    uint64_t last_number;
    int64_t saved, swept;
    pthread_rwlock_t lock; /* guards all below */
    om_keyring *ring;      /* NULL: no catalogue */
    om_owners *owners;
    uint32_t max_collections; /* of a tenant other than `default`; 0: any number */
    om_bootstrap bootstrap;
    om_jwt_keys *jwt_keys;
    _Atomic uint64_t jwt_generation; /* read without the lock */
};

bool om_access_load_bootstrap(om_access *access, char *error, size_t error_size);
bool om_access_load_jwt(om_access *access, char *error, size_t error_size);
void om_bootstrap_free(om_bootstrap *bootstrap);
/* access_changes.c: what was used since the last time goes into the catalogue. */
void om_access_save_used(om_access *access);
#endif
