/* engine_journal.h - batches that follow from their numbers, written into a collection on disk; what it must
 * hold at any version. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_JOURNAL_H
#define OM_ENGINE_JOURNAL_H
#include <stdatomic.h>

#include "engine.h"
#include "engine_fixture.h"

enum { JOURNAL_KEYS = 400, JOURNAL_DIM = 8, JOURNAL_BATCH = 20, JOURNAL_MAX = 20000 };
typedef struct journal {
    uint64_t version[JOURNAL_MAX]; /* of batch i */
    _Atomic uint32_t written;      /* batches; released after their versions */
} journal;

omen_status_t journal_create(omen_db *db, omen_collection **out, omen_error *err);
/* Batch number `written`: every fifth one deletes; stream "s" with seq written + 1. */
omen_status_t journal_write(journal *j, omen_collection *c, omen_error *err);
/* The collection "journal" of db holds exactly what the batches up to `version` made, and finds it. Returns
 * how many batches that are. */
uint32_t journal_check(const journal *j, omen_db *db, uint64_t version);
#endif
