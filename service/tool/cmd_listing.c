/* cmd_listing.c - items: lists items, filtered and sorted. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"
#include "show_hits.h"

enum { PAGE = 1000, SHOWN = 20 };

static void show_page(const om_args *args, const om_ids *ids, const om_json_column *metadata,
                      size_t n, uint64_t before)
{
    for (size_t i = 0; i < n; i++) {
        if (args->json) {
            om_out_exact(json_pack("{s:o, s:o}", "id", om_out_id(ids, i), "metadata",
                                   om_show_metadata(metadata, i)));
        } else {
            om_shown_item item = {(size_t)before + i + 1, ids, i, metadata, ""};
            om_show_item(&item);
        }
    }
}

static bool list_items(const om_args *args, om_target *t, const om_condition *where,
                       const om_texts *shown, om_tool_error *err)
{
    om_ids ids = {0};
    om_json_column metadata = {0};
    om_item_parts parts = {.metadata = &metadata, .shown = shown};
    uint64_t limit = args->limit != 0 ? args->limit : args->json ? UINT64_MAX : SHOWN;
    om_scan_params p = {.where = where->text != NULL ? where : NULL,
                        .order_by = args->order_by,
                        .descending = args->descending};
    uint64_t done = 0;
    bool ok = true, more = true;
    while (ok && more && done < limit && !om_tool_interrupted()) {
        uint64_t left = limit - done;
        p.most = left < PAGE ? (size_t)left : PAGE;
        ok = t->ops->scan(t, &p, &ids, &parts, err);
        more = ok && ids.count > 0;
        if (more) {
            size_t n = ids.count < left ? ids.count : (size_t)left;
            show_page(args, &ids, &metadata, n, done);
            done += n;
        }
    }
    if (ok && done == 0 && !args->json && !args->quiet) {
        (void)printf("  no item passes\n");
    }
    om_ids_free(&ids);
    om_json_column_free(&metadata);
    return ok;
}

bool om_cmd_items(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_condition where;
    om_texts shown;
    bool wanted;
    if (!om_place_find(args, true, &place, err) || !om_condition_from_args(args, &where, err)) {
        return false;
    }
    if (!om_target_open(args, &place, OM_TARGET_READ, &t, err)) {
        om_condition_free(&where);
        return false;
    }
    bool ok =
        om_shown_fields(args, &shown, &wanted, err) && list_items(args, t, &where, &shown, err);
    om_target_close(t); /* it may keep the condition's filter */
    om_shown_fields_free(&shown);
    om_condition_free(&where);
    return ok;
}
