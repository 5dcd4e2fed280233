/* console.c - the console's page with its policy, its routes, and its way to the server and away from it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "console_int.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- The page -------------------------------------------------------------------------------- */

static const om_console_asset *asset(const char *name)
{
    for (size_t i = 0; i < om_console_asset_count; i++) {
        if (strcmp(om_console_assets[i].name, name) == 0) {
            return &om_console_assets[i];
        }
    }
    return NULL;
}

/* The text with style and script in the places of their marks. The lengths fit: they were summed before. */
static void put_page(om_console *c, const om_console_asset *html, const om_console_asset *css,
                     const om_console_asset *js)
{
    static const struct {
        const char *mark;
        bool script;
    } places[] = {{"@STYLE@", false}, {"@SCRIPT@", true}};
    const char *at = (const char *)html->data;
    const char *end = at + html->size;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const om_console_asset *part = places[i].script ? js : css;
        const char *mark = memmem(at, (size_t)(end - at), places[i].mark, strlen(places[i].mark));
        if (mark == NULL) {
            break;
        }
        memcpy(c->page + c->page_size, at, (size_t)(mark - at));
        c->page_size += (size_t)(mark - at);
        memcpy(c->page + c->page_size, part->data, part->size);
        c->page_size += part->size;
        at = mark + strlen(places[i].mark);
    }
    memcpy(c->page + c->page_size, at, (size_t)(end - at));
    c->page_size += (size_t)(end - at);
}

static bool put_hash(const om_console_asset *part, char out[64])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_Digest(part->data, part->size, digest, &size, EVP_sha256(), NULL) != 1) {
        return false;
    }
    return EVP_EncodeBlock((unsigned char *)out, digest, (int)size) > 0;
}

/* Only this very script and this very style run, and they talk to this server only. */
static bool put_policy(om_console *c, const om_console_asset *css, const om_console_asset *js)
{
    char style[64];
    char script[64];
    if (!put_hash(css, style) || !put_hash(js, script)) {
        return false;
    }
    int n = snprintf(c->policy, sizeof c->policy,
                     "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
                     "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                     "frame-ancestors 'none'; require-trusted-types-for 'script'",
                     script, style);
    const om_admin_header_line headers[] = {
        {"Content-Security-Policy", c->policy},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
        {"X-Frame-Options", "DENY"}};
    _Static_assert(sizeof headers <= sizeof c->page_headers, "room for the headers");
    memcpy(c->page_headers, headers, sizeof headers);
    return n > 0 && (size_t)n < sizeof c->policy;
}

static bool make_page(om_console *c)
{
    const om_console_asset *html = asset("page.html");
    const om_console_asset *css = asset("page.css");
    const om_console_asset *js = asset("page.js");
    if (html == NULL || css == NULL || js == NULL || !put_policy(c, css, js)) {
        return false;
    }
    c->page = malloc(html->size + css->size + js->size);
    if (c->page != NULL) {
        put_page(c, html, css, js);
    }
    return c->page != NULL;
}

static void send_page(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    om_console *c = ctx;
    (void)r;
    *a = (om_admin_answer){.code = 200,
                           .type = "text/html; charset=utf-8",
                           .headers = c->page_headers,
                           .kept = c->page,
                           .size = c->page_size};
    while (a->header_count < sizeof c->page_headers / sizeof c->page_headers[0] &&
           c->page_headers[a->header_count].name != NULL) {
        a->header_count++;
    }
}

static void send_there(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    static const om_admin_header_line there = {"Location", "/console"};
    static const char text[] = "the console is at /console\n";
    (void)ctx;
    (void)r;
    *a = (om_admin_answer){
        .code = 302, .headers = &there, .header_count = 1, .kept = text, .size = sizeof text - 1};
}

/* ---- Routes ---------------------------------------------------------------------------------- */

#define ROUTE(name_)                                                                         \
    static void route_##name_(void *ctx, const om_admin_request *r, om_admin_answer *answer) \
    {                                                                                        \
        om_console_run(ctx, r, answer, om_console_##name_);                                  \
    }
ROUTE(state)
ROUTE(history)
ROUTE(slow)
ROUTE(collections)
ROUTE(collection)
ROUTE(search)
ROUTE(items)
ROUTE(operations)
ROUTE(start)
ROUTE(cancel)
#undef ROUTE

/* clang-format off */
static const om_admin_route routes[] = {
    {"/", OM_ADMIN_GET, 0, om_console_admit_page, send_there},
    {"/console", OM_ADMIN_GET, 0, om_console_admit_page, send_page},
#define API(path_, how_, body_, name_) \
    {"/console/api/" path_, (how_) | OM_ADMIN_SLOW, (body_), om_console_admit_api, route_##name_}
    API("state", OM_ADMIN_GET, 0, state),
    API("history", OM_ADMIN_GET, 0, history),
    API("slow", OM_ADMIN_GET, 0, slow),
    API("collections", OM_ADMIN_GET, 0, collections),
    API("collection", OM_ADMIN_GET, 0, collection),
    API("search", OM_ADMIN_POST, OM_CONSOLE_MAX_BODY, search),
    API("items", OM_ADMIN_POST, OM_CONSOLE_MAX_BODY, items),
    API("operations", OM_ADMIN_GET, 0, operations),
    API("operations/start", OM_ADMIN_POST, 65536, start),
    API("operations/cancel", OM_ADMIN_POST, 65536, cancel)
#undef API
};
/* clang-format on */

const om_admin_route *om_console_routes(size_t *count)
{
    *count = sizeof routes / sizeof routes[0];
    return routes;
}

/* ---- Life ------------------------------------------------------------------------------------ */

om_console *om_console_create(const om_console_options *options)
{
    om_console *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->options = *options;
    c->started_unix = (int64_t)time(NULL);
    (void)pthread_mutex_init(&c->mutex, NULL);
    (void)pthread_cond_init(&c->idle, NULL);
    if (!make_page(c)) {
        om_console_free(c);
        return NULL;
    }
    return c;
}

void om_console_attach(om_console *c, om_rt *rt)
{
    if (c == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&c->mutex);
    c->rt = rt;
    for (size_t i = 0; rt == NULL && i < OM_ADMIN_WORKERS; i++) {
        if (c->ops[i] != NULL) {
            omen_op_cancel(c->ops[i]);
        }
    }
    while (rt == NULL && c->users > 0) {
        (void)pthread_cond_wait(&c->idle, &c->mutex);
    }
    (void)pthread_mutex_unlock(&c->mutex);
}

void om_console_op_begin(om_console *c, omen_op *op)
{
    (void)pthread_mutex_lock(&c->mutex);
    if (c->rt == NULL) { /* it is about to wait for this call */
        omen_op_cancel(op);
    }
    for (size_t i = 0; i < OM_ADMIN_WORKERS; i++) {
        if (c->ops[i] == NULL) {
            c->ops[i] = op;
            break;
        }
    }
    (void)pthread_mutex_unlock(&c->mutex);
}

void om_console_op_end(om_console *c, omen_op *op)
{
    (void)pthread_mutex_lock(&c->mutex);
    for (size_t i = 0; i < OM_ADMIN_WORKERS; i++) {
        c->ops[i] = c->ops[i] == op ? NULL : c->ops[i];
    }
    (void)pthread_mutex_unlock(&c->mutex);
}

void om_console_free(om_console *c)
{
    if (c == NULL) {
        return;
    }
    free(c->page);
    (void)pthread_cond_destroy(&c->idle);
    (void)pthread_mutex_destroy(&c->mutex);
    free(c);
}
