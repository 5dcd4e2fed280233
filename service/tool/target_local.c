/* target_local.c - a segment file, opened in this process. Reading maps the file. Writing copies
 * its items into a collection in memory, applies the change and replaces the file by rename; a lock
 * on the file keeps a second writer out until then.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target_local.h"

static const char own_name[] = "file"; /* of the collection inside the private database */

static void local_close(om_target *base)
{
    om_local *t = (om_local *)base;
    om_tool_set_op(NULL);
    om_local_rest(t);
    omen_collection_free(t->writing);
    omen_collection_free(t->collection);
    omen_db_free(t->db);
    omen_op_free(t->op);
    if (t->lock_fd >= 0) {
        (void)close(t->lock_fd);
    }
    free(t->path);
    free(t);
}

/* Locks the file as it is now under its name; another writer may have replaced it meanwhile. */
static bool lock_file(om_local *t, om_tool_error *err)
{
    for (int tries = 0; tries < 10; tries++) {
        struct stat opened, named;
        t->lock_fd = open(t->path, O_RDONLY | O_CLOEXEC);
        if (t->lock_fd < 0) {
            return om_tool_fail(err, OM_EXIT_RUNTIME, "%s: cannot open: %s", t->path,
                                strerror(errno));
        }
        if (flock(t->lock_fd, LOCK_EX | LOCK_NB) != 0) {
            return om_tool_fail(err, OM_EXIT_PRECONDITION, "%s: another omen is writing it",
                                t->path);
        }
        if (fstat(t->lock_fd, &opened) == 0 && stat(t->path, &named) == 0 &&
            opened.st_ino == named.st_ino && opened.st_dev == named.st_dev) {
            return true;
        }
        (void)close(t->lock_fd);
        t->lock_fd = -1;
    }
    return om_tool_fail(err, OM_EXIT_PRECONDITION, "%s: other writers keep replacing it", t->path);
}

static bool open_collection(om_local *t, om_tool_error *err)
{
    omen_error why;
    omen_open_options opt = {.struct_size = sizeof opt, .file = t->path};
    if (omen_db_open(NULL, NULL, &t->db, &why) != OMEN_OK ||
        omen_op_create(&t->op, &why) != OMEN_OK ||
        omen_open(t->db, own_name, &opt, &t->collection, &why) != OMEN_OK) {
        om_tool_fail_omen(err, &why);
        return om_tool_wrap(err, "%s", t->path);
    }
    t->options.struct_size = sizeof t->options;
    if (omen_describe(t->collection, &t->options, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    t->base.dim = t->options.dim;
    t->base.dtype = t->options.dtype;
    t->base.id_type = t->options.id_type;
    t->base.metric = t->options.metric;
    om_tool_set_op(t->op);
    return true;
}

bool om_local_open(const om_place *place, int mode, om_target **out, om_tool_error *err)
{
    if (access(place->path, F_OK) != 0) {
        return om_tool_fail(err, OM_EXIT_NOT_FOUND,
                            "%s: %s (make it with 'omen create', or 'omen import --create'; for a "
                            "collection at a server give --server)",
                            place->path, strerror(errno));
    }
    om_local *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return om_tool_no_memory(err, sizeof *t);
    }
    t->base.ops = &om_local_ops;
    t->lock_fd = -1;
    t->path = strdup(place->path);
    bool ok = t->path != NULL ? true : om_tool_no_memory(err, sizeof place->path);
    if (!ok || (mode == OM_TARGET_WRITE && !lock_file(t, err)) || !open_collection(t, err)) {
        local_close(&t->base);
        return false;
    }
    *out = &t->base;
    return true;
}

bool om_local_create(const om_place *place, const omen_options *opt, om_tool_error *err)
{
    if (access(place->path, F_OK) == 0) {
        return om_tool_fail(err, OM_EXIT_PRECONDITION, "%s: exists already", place->path);
    }
    omen_db *db = NULL;
    omen_collection *c = NULL;
    omen_error why;
    bool ok = omen_db_open(NULL, NULL, &db, &why) == OMEN_OK &&
              omen_create(db, own_name, opt, &c, &why) == OMEN_OK &&
              omen_save(c, place->path, NULL, &why) == OMEN_OK;
    omen_collection_free(c);
    omen_db_free(db);
    return ok ? true : om_tool_fail_omen(err, &why);
}

bool om_local_drop(const om_place *place, om_tool_error *err)
{
    om_target *t;
    if (!om_local_open(place, OM_TARGET_WRITE, &t, err)) {
        return om_tool_wrap(err, "left alone");
    }
    bool ok = unlink(place->path) == 0;
    if (!ok) {
        om_tool_fail(err, OM_EXIT_RUNTIME, "%s: cannot remove: %s", place->path, strerror(errno));
    }
    om_target_close(t);
    return ok;
}

bool om_local_describe(om_target *base, om_target_info *info, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_stats stats = {.struct_size = sizeof stats};
    omen_error why;
    if (omen_get_stats(t->collection, &stats, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    memset(info, 0, sizeof *info);
    info->options = t->options;
    info->count = stats.count;
    info->deleted = stats.deleted;
    info->indexed_rows = stats.indexed_rows;
    info->backlog_rows = stats.backlog_rows;
    info->bytes_codes = stats.bytes_codes;
    info->bytes_links = stats.bytes_links;
    info->bytes_ids = stats.bytes_ids;
    info->bytes_vectors = stats.bytes_vectors;
    info->memory_bytes = stats.bytes_codes + stats.bytes_links + stats.bytes_ids +
                         stats.bytes_vectors + stats.bytes_scratch;
    info->mapped_bytes = stats.bytes_mapped;
    info->version = stats.version;
    info->read_only = stats.read_only != 0;
    info->rotated = stats.rotated != 0;
    if (t->path == NULL) { /* of a database */
        info->segments = stats.segments;
        info->frozen = stats.frozen;
        info->disk_bytes = stats.bytes_disk;
        return true;
    }
    struct stat st;
    info->file_bytes = stat(t->path, &st) == 0 ? (uint64_t)st.st_size : 0;
    return true;
}

bool om_local_recall(om_target *base, const om_recall_params *p, omen_recall *out,
                     om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_recall_options opt = {.struct_size = sizeof opt,
                               .flags = p->graph_only ? OMEN_GRAPH_ONLY : 0,
                               .k = p->k,
                               .ef = p->ef,
                               .samples = p->samples,
                               .seed = p->seed};
    omen_error why;
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    return omen_measure_recall(t->collection, &opt, out, t->op, &why) == OMEN_OK
               ? true
               : om_tool_fail_omen(err, &why);
}

const om_target_ops om_local_ops = {
    .close = local_close,
    .describe = om_local_describe,
    .fields = om_local_fields,
    .declare = om_local_declare,
    .count = om_local_count,
    .facet = om_local_facet,
    .search = om_local_search,
    .find = om_local_find,
    .get = om_local_get,
    .erase = om_local_erase,
    .erase_where = om_local_erase_where,
    .scan = om_local_scan,
    .recall = om_local_recall,
    .write_begin = om_local_write_begin,
    .write = om_local_write,
    .write_end = om_local_write_end,
    .session_open = om_local_session_open,
    .session_step = om_local_session_step,
    .session_close = om_local_session_close,
};
