/* show_hits.c - items as a readable list, plans, facets. What comes from items may be hostile to a terminal:
 * control characters are shown as '?'. SPDX-License-Identifier: Apache-2.0 */
#include "show_hits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TITLE_CELLS = 48, VALUE_CELLS = 64, INDENT = 7 };

static bool colours(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL &&
           !(term != NULL && strcmp(term, "dumb") == 0);
}

static size_t width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) {
        return size.ws_col < 400 ? size.ws_col : 400;
    }
    return 110;
}

/* Prints at most `cells` characters of UTF-8; returns how many there were. */
static size_t put_text(const char *text, size_t len, size_t cells)
{
    size_t shown = 0, i = 0;
    for (; i < len && shown < cells; shown++) {
        unsigned char c = (unsigned char)text[i];
        size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        n = n <= len - i ? n : len - i;
        bool control =
            c < 0x20 || c == 0x7f || (c == 0xc2 && n == 2 && (uint8_t)text[i + 1] < 0xa0);
        bool last = shown + 1 == cells && i + n < len;
        if (last) {
            (void)fputs("…", stdout);
        } else if (control) {
            (void)putchar(c == '\n' || c == '\t' ? ' ' : '?');
        } else {
            (void)fwrite(text + i, 1, n, stdout);
        }
        i += n;
    }
    return shown;
}

json_t *om_show_metadata(const om_json_column *metadata, size_t i)
{
    size_t len;
    json_error_t why;
    const char *text = om_json_column_get(metadata, i, &len);
    json_t *o = len > 0 ? json_loadb(text, len, JSON_ALLOW_NUL, &why) : NULL;
    return o != NULL ? o : json_object();
}

/* A value in few words. The caller frees it. */
static char *brief(const json_t *value)
{
    if (json_is_string(value)) {
        return strdup(json_string_value(value));
    }
    if (!json_is_array(value)) {
        return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    }
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    for (size_t i = 0; f != NULL && i < json_array_size(value); i++) {
        char *one = brief(json_array_get(value, i));
        (void)fprintf(f, "%s%s", i > 0 ? ", " : "", one != NULL ? one : "");
        free(one);
    }
    if (f != NULL && fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Fields with short values share a line; each long text has one of its own. */
static bool is_long(const char *text)
{
    return strlen(text) > VALUE_CELLS;
}

static void show_short(json_t *o, const char *title, size_t room)
{
    const char *key;
    json_t *value;
    bool first = true;
    json_object_foreach(o, key, value)
    {
        char *text = strcmp(key, title) == 0 ? NULL : brief(value);
        if (text == NULL || text[0] == '\0' || is_long(text) || room < 16) {
            free(text);
            continue;
        }
        if (first) {
            (void)printf("%*s", INDENT, "");
        } else {
            (void)fputs(" · ", stdout);
            room -= 3;
        }
        room -= put_text(key, strlen(key), room / 2);
        (void)putchar(' ');
        room -= 1;
        room -= put_text(text, strlen(text), room);
        first = false;
        free(text);
    }
    (void)fputs(first ? "" : "\n", stdout);
}

static void show_long(json_t *o, const char *title, size_t room)
{
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
    {
        char *text = strcmp(key, title) == 0 ? NULL : brief(value);
        if (text != NULL && is_long(text)) {
            (void)printf("%*s", INDENT, "");
            size_t used = put_text(key, strlen(key), room / 2);
            (void)putchar(' ');
            (void)put_text(text, strlen(text), room - used - 1);
            (void)putchar('\n');
        }
        free(text);
    }
}

/* The first field that is a text. */
static const char *title_of(json_t *o)
{
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
    {
        if (json_is_string(value) && json_string_length(value) > 0) {
            return key;
        }
    }
    return "";
}

void om_show_item(const om_shown_item *item)
{
    json_t *o = om_show_metadata(item->metadata, item->i);
    const char *key = title_of(o);
    const char *title = json_string_value(json_object_get(o, key));
    char id[OM_ID_TEXT];
    bool tty = colours();
    (void)om_ids_text(item->ids, item->i, id);
    if (item->number > 0) {
        (void)printf("%5zu  ", item->number);
    } else {
        (void)printf("%*s", INDENT, "");
    }
    (void)fputs(tty ? "\033[1m" : "", stdout);
    size_t shown = title != NULL ? put_text(title, strlen(title), TITLE_CELLS)
                                 : put_text(id, strlen(id), TITLE_CELLS);
    (void)fputs(tty ? "\033[0m" : "", stdout);
    (void)printf("%*s  %-12s", (int)(TITLE_CELLS - shown), "", item->note);
    if (title != NULL) {
        (void)printf(" %sid %s%s", tty ? "\033[2m" : "", id, tty ? "\033[0m" : "");
    }
    (void)putchar('\n');
    if (json_object_size(o) > (title != NULL ? 1u : 0u)) {
        (void)fputs(tty ? "\033[2m" : "", stdout);
        show_short(o, key, width() - INDENT - 1);
        show_long(o, key, width() - INDENT - 1);
        (void)fputs(tty ? "\033[0m" : "", stdout);
    }
    json_decref(o);
}

/* ---- Plans ------------------------------------------------------------------------------------------ */

void om_show_plan(const om_search_plan *p)
{
    char a[32], b[32];
    (void)printf("  plan %s", p->plan);
    if (p->ef > 0 || p->distances + p->scanned + p->reranked > 0) {
        (void)printf(", ef %u: %llu distances, %llu hops, %llu scanned, %llu reranked", p->ef,
                     (unsigned long long)p->distances, (unsigned long long)p->hops,
                     (unsigned long long)p->scanned, (unsigned long long)p->reranked);
    }
    (void)putchar('\n');
    if (p->filtered) {
        (void)printf("  filter: %s items pass, %.3g %% (%.3g %% expected), %s tested on the way\n",
                     om_out_count(a, p->matches), p->selectivity * 100, p->estimated * 100,
                     om_out_count(b, p->tests));
    }
    if (p->postings > 0 || p->candidates > 0) {
        (void)printf("  text: %s postings, %s candidates\n", om_out_count(a, p->postings),
                     om_out_count(b, p->candidates));
    }
    for (size_t i = 0; i < p->stage_count; i++) {
        (void)printf("%s%s %.1f µs", i == 0 ? "  stages: " : ", ", p->stages[i].name,
                     (double)p->stages[i].ns / 1000);
    }
    (void)fputs(p->stage_count > 0 ? "\n" : "", stdout);
}

json_t *om_show_plan_json(const om_search_plan *p)
{
    json_t *o = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I}", "plan", p->plan, "ef", (int)p->ef,
                          "distances", (json_int_t)p->distances, "hops", (json_int_t)p->hops,
                          "scanned", (json_int_t)p->scanned, "reranked", (json_int_t)p->reranked);
    if (p->filtered) {
        (void)json_object_update_new(o, json_pack("{s:f, s:f, s:I, s:I}", "estimated_selectivity",
                                                  p->estimated, "selectivity", p->selectivity,
                                                  "matches", (json_int_t)p->matches, "filter_tests",
                                                  (json_int_t)p->tests));
    }
    if (p->postings > 0 || p->candidates > 0) {
        (void)json_object_update_new(o, json_pack("{s:I, s:I}", "postings", (json_int_t)p->postings,
                                                  "candidates", (json_int_t)p->candidates));
    }
    json_t *stages = json_array();
    for (size_t i = 0; i < p->stage_count; i++) {
        (void)json_array_append_new(stages, json_pack("{s:s, s:I}", "name", p->stages[i].name, "ns",
                                                      (json_int_t)p->stages[i].ns));
    }
    (void)json_object_set_new(o, "stages", stages);
    return o;
}

/* ---- Facets ----------------------------------------------------------------------------------------- */

static json_t *value_of(const om_facet *f, size_t i)
{
    size_t len;
    json_error_t why;
    const char *text = om_json_column_get(&f->values, i, &len);
    json_t *v = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    return v != NULL ? v : json_null();
}

static void facet_json(const om_facet *f, const char *field, json_t *to)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->values.count; i++) {
        (void)json_array_append_new(list, json_pack("{s:o, s:I}", "value", value_of(f, i), "count",
                                                    (json_int_t)f->counts[i]));
    }
    (void)json_object_set_new(to, field, list);
}

static void facet_text(const om_facet *f, const char *field)
{
    (void)printf("%s\n", field);
    for (size_t i = 0; i < f->values.count; i++) {
        char a[32];
        json_t *v = value_of(f, i);
        char *text = brief(v);
        (void)printf("%12s  ", om_out_count(a, f->counts[i]));
        (void)put_text(text != NULL ? text : "", text != NULL ? strlen(text) : 0, VALUE_CELLS);
        (void)putchar('\n');
        free(text);
        json_decref(v);
    }
}

bool om_show_facets(const om_args *args, om_target *t, const om_condition *where, json_t *to,
                    om_tool_error *err)
{
    enum { VALUES = 20 };
    json_t *all = to != NULL && args->facets.count > 0 ? json_object() : NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < args->facets.count; i++) {
        om_facet f = {0};
        const char *field = args->facets.items[i];
        ok = t->ops->facet(t, where, field, VALUES, &f, err);
        if (ok && all != NULL) {
            facet_json(&f, field, all);
        } else if (ok) {
            facet_text(&f, field);
        }
        om_facet_free(&f);
    }
    if (all != NULL) {
        (void)json_object_set_new(to, "facets", all);
    }
    return ok;
}

/* ---- Which fields ------------------------------------------------------------------------------------ */

bool om_shown_fields(const om_args *args, om_texts *names, bool *wanted, om_tool_error *err)
{
    const char *list = args->shown_fields;
    *names = (om_texts){0};
    *wanted = args->metadata || list != NULL;
    if (list == NULL) {
        return true;
    }
    size_t most = 1;
    for (const char *p = list; *p != '\0'; p++) {
        most += *p == ',' ? 1 : 0;
    }
    char *copy = strdup(list);
    names->items = calloc(most, sizeof *names->items);
    if (copy == NULL || names->items == NULL) {
        free(copy);
        return om_tool_no_memory(err, most * sizeof *names->items);
    }
    names->items[0] = copy; /* where the memory of all begins */
    for (char *p = copy, *end = copy; end != NULL; p = end + 1) {
        end = strchr(p, ',');
        if (end != NULL) {
            *end = '\0';
        }
        names->items[names->count++] = p;
        if (end == NULL) {
            break;
        }
    }
    return true;
}

void om_shown_fields_free(om_texts *names)
{
    if (names->items != NULL) {
        char *copy;
        memcpy(&copy, &names->items[0], sizeof copy);
        free(copy);
    }
    free(names->items);
    *names = (om_texts){0};
}
