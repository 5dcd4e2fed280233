/* target_remote.c - a collection of a server: everything but searching and writing streams.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "remote_pack.h"

static void remote_close(om_target *base)
{
    om_remote *t = (om_remote *)base;
    om_remote_writer_free(t->writer);
    om_rpcc_close(t->client);
    om_arena_reset(&t->arena);
    om_endpoint_free(&t->endpoint);
    free(t);
}

static bool connect_to(const om_args *args, om_remote **out, om_tool_error *err)
{
    om_remote *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return om_tool_no_memory(err, sizeof *t);
    }
    t->base.ops = &om_remote_ops;
    om_arena_init(&t->arena, NULL, 0, 0);
    if (!om_endpoint_load(args, &t->endpoint, err) ||
        !om_endpoint_connect(&t->endpoint, &t->client, err)) {
        remote_close(&t->base);
        return false;
    }
    *out = t;
    return true;
}

static void take_info(const Omen__V1__Collection *c, om_target_info *info)
{
    memset(info, 0, sizeof *info);
    info->options.struct_size = sizeof info->options;
    const Omen__V1__CollectionConfig *config = c->config;
    if (config != NULL) {
        info->options.dim = config->dim;
        info->options.metric = (uint32_t)config->metric;
        info->options.dtype = (uint32_t)config->type;
        info->options.id_type = (uint32_t)config->id_type;
        info->options.m = config->m;
        info->options.ef_construction = config->ef_construction;
        info->options.quantization = (uint32_t)config->quantization;
        info->options.rotation = (uint32_t)config->rotation;
        info->options.entry = (uint32_t)config->entry;
        info->options.durability = (uint32_t)config->durability;
        info->options.capacity_hint = config->capacity_hint;
        info->options.max_backlog_rows = config->max_backlog_rows;
    }
    const Omen__V1__CollectionStats *stats = c->stats;
    if (stats != NULL) {
        info->count = stats->count;
        info->deleted = stats->deleted;
        info->indexed_rows = stats->indexed_rows;
        info->backlog_rows = stats->backlog_rows;
        info->memory_bytes = stats->memory_bytes;
        info->mapped_bytes = stats->mapped_bytes;
        info->version = stats->version;
        info->read_only = stats->read_only;
        info->rotated = stats->rotated;
        info->segments = stats->segments;
        info->frozen = stats->frozen_segments;
        info->disk_bytes = stats->disk_bytes;
    }
}

bool om_remote_describe(om_target *base, om_target_info *info, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    Omen__V1__GetCollectionRequest request;
    omen__v1__get_collection_request__init(&request);
    request.name = om_remote_text(t->name);
    const Omen__V1__Collection *c =
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Collections/GetCollection", &request.base,
                       &omen__v1__collection__descriptor, &t->arena, err);
    if (c == NULL) {
        return false;
    }
    take_info(c, info);
    size_t width = om_tool_dtype_width(info->options.dtype);
    if (info->options.dim == 0 || info->options.dim > OMEN_MAX_DIM || width == 0 ||
        om_tool_id_type_name(info->options.id_type) == NULL) {
        return om_tool_fail(err, OM_EXIT_RUNTIME,
                            "the server describes '%s' in a way this tool does not understand: is "
                            "it newer?",
                            t->name);
    }
    return true;
}

bool om_remote_open(const om_args *args, const om_place *place, om_target **out, om_tool_error *err)
{
    om_remote *t;
    om_target_info info;
    if (!connect_to(args, &t, err)) {
        return false;
    }
    t->name = place->name;
    if (!om_remote_describe(&t->base, &info, err)) {
        remote_close(&t->base);
        return false;
    }
    t->base.dim = info.options.dim;
    t->base.dtype = info.options.dtype;
    t->base.id_type = info.options.id_type;
    t->base.metric = info.options.metric;
    *out = &t->base;
    return true;
}

bool om_remote_create(const om_args *args, const om_place *place, const omen_options *opt,
                      om_tool_error *err)
{
    om_remote *t;
    if (!connect_to(args, &t, err)) {
        return false;
    }
    Omen__V1__CollectionConfig config;
    omen__v1__collection_config__init(&config);
    config.dim = opt->dim;
    config.metric = (Omen__V1__Metric)opt->metric;
    config.type = (Omen__V1__DataType)opt->dtype;
    config.id_type = (Omen__V1__IdType)opt->id_type;
    config.m = opt->m;
    config.ef_construction = opt->ef_construction;
    config.durability = (Omen__V1__Durability)opt->durability;
    config.quantization = (Omen__V1__CollectionConfig__Quantization)opt->quantization;
    config.rotation = (Omen__V1__CollectionConfig__Rotation)opt->rotation;
    config.entry = (Omen__V1__CollectionConfig__Entry)opt->entry;
    config.capacity_hint = opt->capacity_hint;
    config.max_backlog_rows = opt->max_backlog_rows;
    Omen__V1__CreateCollectionRequest request;
    omen__v1__create_collection_request__init(&request);
    request.name = om_remote_text(place->name);
    request.config = &config;
    om_arena arena;
    om_arena_init(&arena, NULL, 0, 0);
    config.n_fields = opt->field_count;
    bool ok =
        om_remote_pack_fields(opt->fields, opt->field_count, &arena, &config.fields, err) &&
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Collections/CreateCollection",
                       &request.base, &omen__v1__collection__descriptor, &t->arena, err) != NULL;
    om_arena_reset(&arena);
    remote_close(&t->base);
    return ok;
}

bool om_remote_drop(const om_args *args, const om_place *place, om_tool_error *err)
{
    om_remote *t;
    if (!connect_to(args, &t, err)) {
        return false;
    }
    Omen__V1__DeleteCollectionRequest request;
    omen__v1__delete_collection_request__init(&request);
    request.name = om_remote_text(place->name);
    bool ok = om_remote_call(&t->endpoint, t->client, "/omen.v1.Collections/DeleteCollection",
                             &request.base, &omen__v1__delete_collection_response__descriptor,
                             &t->arena, err) != NULL;
    remote_close(&t->base);
    return ok;
}

bool om_remote_list(const om_args *args, om_list_each each, void *ctx, om_tool_error *err)
{
    om_remote *t;
    if (!connect_to(args, &t, err)) {
        return false;
    }
    char *token = strdup("");
    bool ok = token != NULL ? true : om_tool_no_memory(err, 1);
    bool more = ok;
    while (more) {
        Omen__V1__ListCollectionsRequest request;
        omen__v1__list_collections_request__init(&request);
        request.page_size = 1000;
        request.page_token = token;
        const Omen__V1__ListCollectionsResponse *page = om_remote_call(
            &t->endpoint, t->client, "/omen.v1.Collections/ListCollections", &request.base,
            &omen__v1__list_collections_response__descriptor, &t->arena, err);
        ok = page != NULL;
        for (size_t i = 0; ok && i < page->n_collections; i++) {
            om_target_info info;
            take_info(page->collections[i], &info);
            each(ctx, page->collections[i]->name, &info);
        }
        /* A token that does not change would go round for ever. */
        more = ok && page->next_page_token[0] != '\0' && strcmp(page->next_page_token, token) != 0;
        free(token);
        token = more ? strdup(page->next_page_token) : NULL;
        more = more && token != NULL;
    }
    free(token);
    remote_close(&t->base);
    return ok;
}

static bool remote_recall(om_target *base, const om_recall_params *p, omen_recall *out,
                          om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    Omen__V1__MeasureRecallRequest request;
    omen__v1__measure_recall_request__init(&request);
    request.collection = om_remote_text(t->name);
    request.k = p->k;
    request.ef = p->ef;
    request.samples = p->samples;
    request.seed = p->seed;
    request.graph_only = p->graph_only;
    const Omen__V1__MeasureRecallResponse *answer =
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Maintenance/MeasureRecall", &request.base,
                       &omen__v1__measure_recall_response__descriptor, &t->arena, err);
    if (answer == NULL) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->recall = answer->recall;
    out->low = answer->low;
    out->high = answer->high;
    out->samples = answer->samples;
    out->distances = answer->distances;
    return true;
}

bool om_remote_info(const om_args *args, om_server_info *out, om_tool_error *err)
{
    om_remote *t;
    if (!connect_to(args, &t, err)) {
        return false;
    }
    Omen__V1__GetServerInfoRequest request;
    omen__v1__get_server_info_request__init(&request);
    const Omen__V1__ServerInfo *info =
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Maintenance/GetServerInfo", &request.base,
                       &omen__v1__server_info__descriptor, &t->arena, err);
    if (info != NULL) {
        memset(out, 0, sizeof *out);
        (void)snprintf(out->version, sizeof out->version, "%s", info->version);
        (void)snprintf(out->isa, sizeof out->isa, "%s", info->isa);
        (void)snprintf(out->epoch, sizeof out->epoch, "%s", info->server_epoch);
        out->abi = info->abi;
        out->format = info->format;
        const Omen__V1__ServerInfo__Limits *limits = info->limits;
        if (limits != NULL) {
            out->max_dim = limits->max_dim;
            out->max_k = limits->max_k;
            out->max_ef = limits->max_ef;
            out->max_message_bytes = limits->max_message_bytes;
            out->max_batch_items = limits->max_batch_items;
            out->memory_limit_bytes = limits->memory_limit_bytes;
            out->stream_window_bytes = limits->stream_window_bytes;
        }
    }
    remote_close(&t->base);
    return info != NULL;
}

const om_target_ops om_remote_ops = {
    .close = remote_close,
    .describe = om_remote_describe,
    .fields = om_remote_fields,
    .declare = om_remote_declare,
    .count = om_remote_count,
    .facet = om_remote_facet,
    .search = om_remote_search,
    .find = om_remote_find,
    .get = om_remote_get_items,
    .erase = om_remote_erase,
    .erase_where = om_remote_erase_where,
    .scan = om_remote_scan,
    .recall = remote_recall,
    .write_begin = om_remote_write_begin,
    .write = om_remote_write,
    .write_end = om_remote_write_end,
    .session_open = om_remote_session_open,
    .session_step = om_remote_session_step,
    .session_close = om_remote_session_close,
};
