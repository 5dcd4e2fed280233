/* console_gate.c - who may use the console, and the way of every call of its API: admitted by its headers,
 * identified by its credential, answered in JSON.
 *
 * A browser on this machine can be made to send requests here by any page that it shows. What stops that:
 * the Host must be a name of this machine (a page whose own name was rebound to 127.0.0.1 sends that name),
 * calls must carry a header that a page of another origin cannot add without being asked for leave, which
 * is never given, and an Origin, when there is one, must be ours. SPDX-License-Identifier: Apache-2.0 */
#include "console_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Admission ------------------------------------------------------------------------------- */

/* The name in "name", "name:port" or "[v6]:port". False: it is of another form, or too long. */
static bool host_name(const char *host, char *name, size_t size)
{
    size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    const char *port = host + length;
    if (length >= size || length > strlen(host) || (port[0] != '\0' && port[0] != ':') ||
        strspn(port[0] == ':' ? port + 1 : port, "0123456789") != strlen(port) - (port[0] == ':')) {
        return false;
    }
    memcpy(name, host, length);
    name[length] = '\0';
    return true;
}

/* Whether the Host is this machine itself: nothing that a name server could say of a name. */
static bool is_local_host(const char *host)
{
    char name[64];
    return host_name(host, name, sizeof name) &&
           (strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 ||
            (strncmp(name, "127.", 4) == 0 && strspn(name, "0123456789.") == strlen(name)));
}

/* Whether the Host is an address, or this machine: no name that could be rebound. */
static bool is_address(const char *host)
{
    char name[64];
    return is_local_host(host) || (host_name(host, name, sizeof name) && name[0] != '\0' &&
                                   (name[0] == '[' || strspn(name, "0123456789.") == strlen(name)));
}

static bool refuse(om_admin_answer *a, unsigned code, const char *text)
{
    *a = (om_admin_answer){.code = code, .kept = text, .size = strlen(text)};
    return false;
}

/* A proxy on this machine hands requests of others on: they are not local. Some put their line beside one
 * that the client has sent, so that it is there twice. */
static bool came_through(const om_admin_request *r)
{
    static const char *const marks[] = {
        "X-Forwarded-For",          "Forwarded",         "Via",
        "X-Forwarded-Host",         "X-Forwarded-Proto", "X-Real-IP",
        "X-Original-Forwarded-For", "X-Client-IP",       "X-Cluster-Client-IP",
        "CF-Connecting-IP",         "True-Client-IP",    "X-Envoy-External-Address"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (om_admin_has_header(r, marks[i])) {
            return true;
        }
    }
    return false;
}

/* One value, of those that are allowed, or none at all: more than one is for somebody else to choose from. */
static bool is_doubled(const om_admin_request *r, const char *name)
{
    return om_admin_has_header(r, name) && om_admin_header(r, name) == NULL;
}

bool om_console_admit_page(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    const om_console *c = ctx;
    const char *host = om_admin_header(r, "Host");
    if (host == NULL) {
        return refuse(a, 400, "one Host header is needed\n");
    }
    if (c->options.mode == OM_CONSOLE_ANY) {
        return om_access_required(c->options.access) || is_address(host) ||
               refuse(a, 403, "without credentials the console is called by an address\n");
    }
    if (!r->local || came_through(r)) {
        return refuse(
            a, 403,
            "the console answers on this machine only: use kubectl port-forward or ssh -L, "
            "or start omend with --console any behind a proxy with TLS\n");
    }
    return is_local_host(host) ||
           refuse(a, 403, "the console wants to be called localhost, 127.0.0.1 or [::1]\n");
}

/* The Origin of a page of ours is "http(s)://" and the Host that it asked for. */
static bool is_ours(const char *origin, const char *host)
{
    const char *rest = strncmp(origin, "http://", 7) == 0    ? origin + 7
                       : strncmp(origin, "https://", 8) == 0 ? origin + 8
                                                             : "";
    return rest[0] != '\0' && strcasecmp(rest, host) == 0;
}

bool om_console_admit_api(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    const char *mark = om_admin_header(r, "X-Omen-Console");
    const char *origin = om_admin_header(r, "Origin");
    const char *site = om_admin_header(r, "Sec-Fetch-Site");
    const char *type = om_admin_header(r, "Content-Type");
    if (!om_console_admit_page(ctx, r, a)) {
        return false;
    }
    if (mark == NULL || strcmp(mark, "1") != 0) {
        return refuse(a, 403, "calls of the console carry the header X-Omen-Console: 1\n");
    }
    if (is_doubled(r, "Origin") || is_doubled(r, "Sec-Fetch-Site") ||
        (origin != NULL && !is_ours(origin, om_admin_header(r, "Host"))) ||
        (site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)) {
        return refuse(a, 403, "calls of the console come from its own page\n");
    }
    return !r->post || (type != NULL && strncasecmp(type, "application/json", 16) == 0) ||
           refuse(a, 415, "a body is application/json\n");
}

/* ---- Failures -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned http;
} codes[] = {{"OK", 200},
             {"CANCELLED", 503},
             {"UNKNOWN", 500},
             {"INVALID_ARGUMENT", 400},
             {"DEADLINE_EXCEEDED", 504},
             {"NOT_FOUND", 404},
             {"ALREADY_EXISTS", 409},
             {"PERMISSION_DENIED", 403},
             {"RESOURCE_EXHAUSTED", 429},
             {"FAILED_PRECONDITION", 409},
             {"ABORTED", 409},
             {"OUT_OF_RANGE", 400},
             {"UNIMPLEMENTED", 501},
             {"INTERNAL", 500},
             {"UNAVAILABLE", 503},
             {"DATA_LOSS", 500},
             {"UNAUTHENTICATED", 401}};

static void answer_json(om_admin_answer *a, unsigned code, json_t *json)
{
    static const om_admin_header_line challenge = {"WWW-Authenticate", "Bearer realm=\"omendb\""};
    static const char none[] =
        "{\"error\":{\"code\":\"RESOURCE_EXHAUSTED\",\"reason\":\"NO_MEMORY\","
        "\"message\":\"no memory for the answer\"}}";
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    *a = (om_admin_answer){.code = text != NULL ? code : 503,
                           .type = "application/json",
                           .headers = &challenge,
                           .header_count = code == 401 ? 1 : 0,
                           .text = text,
                           .kept = none,
                           .size = text != NULL ? strlen(text) : sizeof none - 1};
}

static void answer_failure(om_admin_answer *a, const om_failure *f)
{
    uint32_t code = f->code < sizeof codes / sizeof codes[0] ? f->code : OM_CODE_UNKNOWN;
    answer_json(a, codes[code].http,
                json_pack("{s:{s:s,s:s,s:s,s:s,s:i}}", "error", "code", codes[code].name, "reason",
                          f->reason, "message", f->message, "field", f->field, "retry_ms",
                          (int)f->retry_ms));
}

/* ---- A call ---------------------------------------------------------------------------------- */

/* Keeps the server from going away meanwhile; NULL when it is not there. */
static om_rt_shared *enter(om_console *c)
{
    om_rt_shared *shared = NULL;
    (void)pthread_mutex_lock(&c->mutex);
    if (c->rt != NULL) {
        shared = om_rt_shared_of(c->rt);
        c->users++;
    }
    (void)pthread_mutex_unlock(&c->mutex);
    return shared;
}

static void leave(om_console *c, const om_rt_shared *shared)
{
    if (shared == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&c->mutex);
    c->users--;
    if (c->users == 0) {
        (void)pthread_cond_broadcast(&c->idle);
    }
    (void)pthread_mutex_unlock(&c->mutex);
}

static json_t *call_part(om_console_call *call, om_console_fn fn)
{
    if (call->shared == NULL && fn != om_console_state) {
        om_failure_set(&call->f, OMEN_UNAVAILABLE, "STARTING", NULL,
                       "the server starts or stops: it has no collections at this moment");
        return NULL;
    }
    json_t *json = fn(call);
    if (json == NULL && call->f.code == 0) {
        om_failure_set(&call->f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                       "no memory for the answer");
    }
    return json;
}

void om_console_run(om_console *c, const om_admin_request *r, om_admin_answer *a, om_console_fn fn)
{
    om_console_call call = {.console = c, .request = r};
    const char *token = om_admin_header(r, "Authorization");
    om_credentials shown = {.authorization = token,
                            .authorization_size = token != NULL ? strlen(token) : 0,
                            .peer = r->peer};
    call.who = om_access_identify(c->options.access, &shown, &call.f);
    if (call.who == NULL) {
        answer_failure(a, &call.f);
        return;
    }
    memset(&call.f, 0, sizeof call.f);
    call.shared = enter(c);
    json_t *json = call_part(&call, fn);
    leave(c, call.shared);
    om_principal_release(call.who);
    if (json != NULL) {
        answer_json(a, 200, json);
    } else {
        answer_failure(a, &call.f);
    }
}

bool om_console_may(om_console_call *call, const char *collection, uint32_t verb)
{
    bool may = collection != NULL ? om_principal_may(call->who, collection, verb)
                                  : om_principal_may_some(call->who, OM_VERB_ADMIN);
    return may ||
           om_access_denied_from(call->console->options.access, call->who, call->request->peer,
                                 collection, collection != NULL ? verb : OM_VERB_ADMIN, &call->f);
}

om_coll *om_console_coll(om_console_call *call, const char *name, uint32_t verb)
{
    if (name[0] == '\0' || strlen(name) > OMEN_MAX_NAME) {
        om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "NAME", "collection", "collection is %s",
                       name[0] == '\0' ? "empty" : "no name");
        return NULL;
    }
    omen_error err = {.item = OMEN_NONE};
    om_coll *coll = NULL;
    if (om_console_may(call, name, verb) &&
        om_colls_get(call->shared->colls, name, &coll, &err) != OMEN_OK) {
        om_failure_from_engine(&call->f, &err);
        return NULL;
    }
    return coll;
}

/* ---- Members of a request -------------------------------------------------------------------- */

json_t *om_console_body(om_console_call *call)
{
    json_error_t error;
    json_t *body =
        json_loadb(call->request->body, call->request->body_size, JSON_REJECT_DUPLICATES, &error);
    if (body == NULL || !json_is_object(body)) {
        om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL,
                       "the body is no JSON object: %s, at byte %d",
                       body == NULL ? error.text : "it is another value",
                       body == NULL ? error.position : 0);
        json_decref(body);
        return NULL;
    }
    return body;
}

bool om_console_known(om_console_call *call, json_t *object, const char *const *names)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], key) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            return om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL,
                                  "'%.60s' is no member of this request", key);
        }
    }
    return true;
}

static bool wrong_type(om_console_call *call, const char *name, const char *wanted)
{
    return om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "TYPE", name, "%s is not %s", name,
                          wanted);
}

bool om_console_text(om_console_call *call, json_t *object, const char *name, const char **out)
{
    const json_t *value = json_object_get(object, name);
    *out = "";
    if (value == NULL || json_is_null(value)) {
        return true;
    }
    if (!json_is_string(value)) {
        return wrong_type(call, name, "a text");
    }
    *out = json_string_value(value);
    return true;
}

bool om_console_number(om_console_call *call, json_t *object, const char *name, uint64_t max,
                       uint32_t *out)
{
    const json_t *value = json_object_get(object, name);
    *out = 0;
    if (value == NULL || json_is_null(value)) {
        return true;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return wrong_type(call, name, "a whole number from 0 on");
    }
    uint64_t number = (uint64_t)json_integer_value(value);
    if (number > max) {
        return om_failure_limit(&call->f, name, number, max);
    }
    *out = (uint32_t)number;
    return true;
}

bool om_console_flag(om_console_call *call, json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    return value == NULL || json_is_boolean(value) || json_is_null(value) ||
           wrong_type(call, name, "true or false");
}
