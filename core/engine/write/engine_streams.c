/* engine_streams.c - resumable streams of a collection: the last seq of each, and who may write
 * to it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_disk.h"

enum { FIRST_BUCKETS = 16 };
/* A stream nobody used for so long is not saved, and forgotten when the table is full (ruling 16). */
#define STREAM_LIFE_NS (UINT64_C(7) * 24 * 3600 * 1000000000)

static uint64_t wall_clock(const om_streams *streams)
{
    return om_io_wall(streams->io != NULL ? streams->io : &om_io_system);
}

/* The clock may have been set back. */
static bool is_old(const om_stream *stream, uint64_t now)
{
    return now > stream->used_ns && now - stream->used_ns >= STREAM_LIFE_NS;
}

static uint64_t hash_id(om_stream_id id)
{
    uint64_t hash = id.length;
    for (size_t i = 0; i < id.length; i += sizeof hash) {
        uint64_t word = 0;
        size_t left = id.length - i;
        memcpy(&word, id.bytes + i, left < sizeof word ? left : sizeof word);
        hash = om_mix64(hash ^ word);
    }
    return hash;
}

static size_t table_bytes(const om_streams *streams)
{
    return streams->buckets == NULL ? 0 : ((size_t)streams->mask + 1) * sizeof(om_stream *);
}

void om_streams_free(const om_alloc *alloc, om_streams *streams)
{
    if (streams->buckets == NULL) {
        return;
    }
    for (uint32_t i = 0; i <= streams->mask; i++) {
        om_stream *stream = streams->buckets[i];
        while (stream != NULL) {
            om_stream *next = stream->next;
            om_alloc_put(alloc, stream, sizeof *stream, _Alignof(om_stream));
            stream = next;
        }
    }
    om_alloc_put(alloc, streams->buckets, table_bytes(streams), OM_CACHE_LINE);
    streams->buckets = NULL;
}

static omen_status_t widen(const om_alloc *alloc, om_streams *streams, omen_error *err)
{
    uint32_t count = streams->buckets == NULL ? FIRST_BUCKETS : (streams->mask + 1) * 2;
    om_stream **buckets = om_alloc_zero(alloc, count, sizeof *buckets, OM_CACHE_LINE);
    if (buckets == NULL) {
        return om_fail_memory(err, "streams", count * sizeof *buckets);
    }
    for (uint32_t i = 0; streams->buckets != NULL && i <= streams->mask; i++) {
        om_stream *stream = streams->buckets[i];
        while (stream != NULL) {
            om_stream *next = stream->next;
            stream->next = buckets[stream->hash & (count - 1)];
            buckets[stream->hash & (count - 1)] = stream;
            stream = next;
        }
    }
    om_alloc_put(alloc, streams->buckets, table_bytes(streams), OM_CACHE_LINE);
    streams->buckets = buckets;
    streams->mask = count - 1;
    return OMEN_OK;
}

static void forget_old(const om_alloc *alloc, om_streams *streams, uint64_t now)
{
    for (uint32_t i = 0; i <= streams->mask; i++) {
        om_stream **at = &streams->buckets[i];
        while (*at != NULL) {
            om_stream *stream = *at;
            bool unused = stream->last_seq == 0 && stream->epoch == 0; /* nothing was ever accepted */
            if (!unused && !is_old(stream, now)) {
                at = &stream->next;
                continue;
            }
            *at = stream->next;
            om_alloc_put(alloc, stream, sizeof *stream, _Alignof(om_stream));
            streams->count--;
        }
    }
}

static om_stream *find(const om_streams *streams, om_stream_id id, uint64_t hash)
{
    om_stream *stream = streams->buckets == NULL ? NULL : streams->buckets[hash & streams->mask];
    while (stream != NULL && (stream->hash != hash || stream->length != id.length ||
                              memcmp(stream->id, id.bytes, id.length) != 0)) {
        stream = stream->next;
    }
    return stream;
}

omen_status_t om_streams_get(const om_alloc *alloc, om_streams *streams, om_stream_id id,
                             om_stream **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t now = wall_clock(streams);
    uint64_t hash = hash_id(id);
    om_stream *stream = find(streams, id, hash);
    if (stream == NULL) {
        if (streams->count >= OM_MAX_STREAMS) {
            forget_old(alloc, streams, now);
        }
        if (streams->count >= OM_MAX_STREAMS) {
            return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                           "stream_id: the collection has %u streams, the limit", streams->count);
        }
        if (streams->buckets == NULL || streams->count > streams->mask) {
            OM_TRY(widen(alloc, streams, err));
        }
        stream = om_alloc_zero(alloc, 1, sizeof *stream, _Alignof(om_stream));
        if (stream == NULL) {
            return om_fail_memory(err, "stream", sizeof *stream);
        }
        stream->hash = hash;
        stream->length = (uint32_t)id.length;
        memcpy(stream->id, id.bytes, id.length);
        stream->next = streams->buckets[hash & streams->mask];
        streams->buckets[hash & streams->mask] = stream;
        streams->count++;
    }
    stream->used_ns = now;
    *out = stream;
out:
    return status;
}

/* Finds or makes the stream and fences its older writers. */
static omen_status_t open_locked(om_collection *c, om_stream_id id, om_stream **out,
                                 omen_error *err)
{
    omen_status_t status = om_streams_get(&c->rt->alloc, &c->streams, id, out, err);
    if (status == OMEN_OK) {
        /* Epochs that were handed out before a crash are not all known: a base that grows with each
         * opening of the database keeps their holders out. */
        uint64_t next = (*out)->epoch + 1;
        (*out)->epoch = next > c->streams.first_epoch ? next : c->streams.first_epoch;
    }
    return status;
}

omen_status_t om_collection_stream_open(omen_collection *handle, om_stream_id id,
                                        uint64_t *last_seq, uint64_t *epoch, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    if (id.length == 0 || id.length > OMEN_MAX_STREAM_ID) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "stream_id: %zu bytes, must be 1 to %u", id.length, OMEN_MAX_STREAM_ID);
    }
    OM_TRY(om_collection_writable(handle, true, err));
    om_mutex_lock(&c->write_mu);
    om_stream *stream = NULL;
    status = open_locked(c, id, &stream, err);
    if (status == OMEN_OK) {
        *last_seq = stream->last_seq;
        *epoch = stream->epoch;
    }
    om_mutex_unlock(&c->write_mu);
out:
    return om_explain_memory(c->rt, rejections, status, err);
}

/* ---- Saving ------------------------------------------------------------------------------------ */
uint32_t om_streams_export(const om_streams *streams, uint32_t serial, om_cursor *out)
{
    uint32_t count = 0;
    uint64_t now = wall_clock(streams);
    for (uint32_t i = 0; streams->buckets != NULL && i <= streams->mask; i++) {
        for (const om_stream *s = streams->buckets[i]; s != NULL; s = s->next) {
            if (is_old(s, now) || s->last_seq == 0) {
                continue;
            }
            if (out != NULL) {
                om_cursor *cursor = &out[count];
                *cursor = (om_cursor){.collection = serial,
                                      .length = s->length,
                                      .last_seq = s->last_seq,
                                      .last_version = s->last_version,
                                      .epoch = s->epoch,
                                      .used_wall_ns = s->used_ns,
                                      .crc = s->last_crc};
                memcpy(cursor->id, s->id, s->length);
            }
            count++;
        }
    }
    return count;
}

omen_status_t om_streams_import(om_collection *c, const om_cursor *cursor, omen_error *err)
{
    om_stream *stream = NULL;
    const om_stream_id id = {.bytes = cursor->id, .length = cursor->length};
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_streams_get(&c->rt->alloc, &c->streams, id, &stream, err);
    if (status == OMEN_OK) {
        stream->last_seq = cursor->last_seq;
        stream->last_version = cursor->last_version;
        stream->epoch = cursor->epoch;
        stream->last_crc = cursor->crc;
        stream->used_ns = cursor->used_wall_ns;
    }
    om_mutex_unlock(&c->write_mu);
    return status;
}
