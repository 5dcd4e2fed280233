/* cmd_keys.c - keys: creates, lists and revokes what callers show to a server, and tells who one is. A secret
 * is shown once, when it is made. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "remote_access.h"

static json_t *grants_json(Omen__V1__Grant *const *grants, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s:%s", om_role_name((uint32_t)grants[i]->role),
                       grants[i]->collection);
        (void)json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *key_json(const Omen__V1__Key *k)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I}", "id", k->id, "name", k->name,
                          "tenant", k->tenant, "grants", grants_json(k->grants, k->n_grants),
                          "created_unix", (json_int_t)k->created_unix, "expires_unix",
                          (json_int_t)k->expires_unix, "revoked_unix", (json_int_t)k->revoked_unix,
                          "last_used_unix", (json_int_t)k->last_used_unix);
    if (k->certificate[0] != '\0') {
        (void)json_object_set_new(o, "certificate", json_string(k->certificate));
    }
    return o;
}

static void print_grants(FILE *to, Omen__V1__Grant *const *grants, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(to, "%s%s:%s", i > 0 ? " " : "", om_role_name((uint32_t)grants[i]->role),
                      grants[i]->collection);
    }
    (void)fputs(count == 0 ? "-" : "", to);
}

/* ---- create ---------------------------------------------------------------------------------- */

/* The file for the secret is there before the key is: a secret that cannot be kept is never made. */
static bool open_secret(const char *path, int *fd, om_tool_error *err)
{
    *fd = -1;
    if (path == NULL) {
        return true;
    }
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *fd >= 0 ? true
                    : om_tool_fail(err, errno == EEXIST ? OM_EXIT_PRECONDITION : OM_EXIT_RUNTIME,
                                   "%s: cannot make it: %s", path, strerror(errno));
}

static bool write_secret(int fd, const char *secret)
{
    char line[256];
    int n = snprintf(line, sizeof line, "%s\n", secret);
    bool ok = n > 0 && (size_t)n < sizeof line && write(fd, line, (size_t)n) == n && fsync(fd) == 0;
    explicit_bzero(line, sizeof line);
    return ok;
}

static void show_created(const om_args *args, const Omen__V1__CreateKeyResponse *answer)
{
    const Omen__V1__Key *k = answer->key;
    bool secret = answer->secret[0] != '\0' && args->out == NULL;
    if (args->json) {
        json_t *o = key_json(k);
        if (secret) {
            (void)json_object_set_new(o, "secret", json_string(answer->secret));
        }
        om_out_object(o);
        return;
    }
    if (!args->quiet) { /* beside the secret, so that `> FILE` takes nothing else */
        char when[32];
        (void)fprintf(stderr, "key %s (%s), tenant %s, ", k->name, k->id, k->tenant);
        print_grants(stderr, k->grants, k->n_grants);
        (void)fprintf(stderr, ", expires %s\n", om_out_time(when, k->expires_unix));
        if (secret) {
            (void)fputs("Its secret is shown only now:\n", stderr);
        }
    }
    if (secret) {
        (void)printf("%s\n", answer->secret);
    }
}

static bool send_create(const om_args *args, const Omen__V1__CreateKeyRequest *request,
                        om_tool_error *err)
{
    om_remote_link *r;
    int fd;
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    if (!open_secret(args->out, &fd, err)) {
        om_remote_link_close(r);
        return false;
    }
    const Omen__V1__CreateKeyResponse *answer = om_remote_key_create(r, request, err);
    bool ok = answer != NULL && answer->key != NULL;
    if (answer != NULL && !ok) {
        om_tool_fail(err, OM_EXIT_RUNTIME, "the server's answer names no key");
    }
    bool kept = ok && (fd < 0 || write_secret(fd, answer->secret));
    if (ok && !kept) {
        char id[32];
        int why = errno;
        (void)snprintf(id, sizeof id, "%s", answer->key->id);
        om_tool_error second;
        (void)om_remote_key_revoke(r, id, &second);
        om_tool_fail(err, OM_EXIT_RUNTIME, "%s: cannot write it: %s; key %s was revoked", args->out,
                     strerror(why), id);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (fd >= 0 && !kept) {
        (void)unlink(args->out);
    }
    if (kept) {
        show_created(args, answer);
    }
    om_remote_link_close(r);
    return kept;
}

static bool create(const om_args *args, om_tool_error *err)
{
    Omen__V1__CreateKeyRequest request;
    omen__v1__create_key_request__init(&request);
    size_t n = args->grants.count;
    if (args->rest_count != 2 || n == 0) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "usage: omen keys create NAME --grant ROLE:COLLECTION ...");
    }
    if (args->certificate != NULL && args->out != NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "a certificate has no secret for --out");
    }
    Omen__V1__Grant *grants = calloc(n, sizeof *grants);
    Omen__V1__Grant **list = calloc(n, sizeof *list);
    bool ok = grants != NULL && list != NULL ? true : om_tool_no_memory(err, n * sizeof *grants);
    for (size_t i = 0; ok && i < n; i++) {
        uint32_t role;
        const char *collection;
        omen__v1__grant__init(&grants[i]);
        ok = om_grant_parse(args->grants.items[i], &role, &collection, err);
        if (ok) {
            grants[i].role = (Omen__V1__Role)role;
            grants[i].collection = om_remote_text(collection);
            list[i] = &grants[i];
        }
    }
    if (ok && args->expires != NULL) {
        ok = om_expiry_parse(args->expires, (int64_t)time(NULL), &request.expires_unix, err);
    }
    request.name = om_remote_text(args->rest[1]);
    request.tenant = om_remote_text(args->tenant != NULL ? args->tenant : "");
    request.certificate = om_remote_text(args->certificate != NULL ? args->certificate : "");
    request.n_grants = n;
    request.grants = list;
    ok = ok && send_create(args, &request, err);
    free(list);
    free(grants);
    return ok;
}

/* ---- list, revoke, whoami ---------------------------------------------------------------------- */

static const char *state_of(const Omen__V1__Key *k)
{
    bool over = k->expires_unix != 0 && k->expires_unix <= (int64_t)time(NULL);
    return k->revoked_unix != 0 ? "revoked" : over ? "expired" : "valid";
}

static void list_key(const om_args *args, const Omen__V1__Key *k)
{
    char expires[32], used[32];
    if (args->json) {
        json_t *o = key_json(k);
        (void)json_object_set_new(o, "state", json_string(state_of(k)));
        om_out_object(o);
        return;
    }
    (void)printf("%-16s  %-20s  %-12s  %-7s  %-16s  %-16s  ", k->id, k->name, k->tenant,
                 state_of(k), om_out_time(expires, k->expires_unix),
                 om_out_time(used, k->last_used_unix));
    print_grants(stdout, k->grants, k->n_grants);
    (void)printf("%s%s\n", k->certificate[0] != '\0' ? "  certificate " : "", k->certificate);
}

static void list_head(const om_args *args, size_t shown)
{
    if (shown == 0 && !args->json && !args->quiet) {
        (void)printf("%-16s  %-20s  %-12s  %-7s  %-16s  %-16s  %s\n", "id", "name", "tenant",
                     "state", "expires (UTC)", "last used", "grants");
    }
}

static bool list(const om_args *args, om_tool_error *err)
{
    om_remote_link *r;
    if (args->rest_count > 1) {
        return om_tool_fail(err, OM_EXIT_USAGE, "usage: omen keys list [--all]");
    }
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    char token[256] = "";
    size_t shown = 0;
    bool ok = true, more = true;
    while (ok && more) {
        const Omen__V1__ListKeysResponse *page = om_remote_keys(r, args->all, token, err);
        ok = page != NULL;
        for (size_t i = 0; ok && i < page->n_keys; i++, shown++) {
            list_head(args, shown);
            list_key(args, page->keys[i]);
        }
        /* A token that does not change would go round for ever. */
        more = ok && page->next_page_token[0] != '\0' && strcmp(page->next_page_token, token) != 0;
        if (more) {
            (void)snprintf(token, sizeof token, "%s", page->next_page_token);
        }
    }
    if (ok && shown == 0 && !args->json && !args->quiet) {
        (void)printf("no keys\n");
    }
    om_remote_link_close(r);
    return ok;
}

static bool revoke_key(const om_args *args, om_tool_error *err)
{
    om_remote_link *r;
    if (args->rest_count != 2) {
        return om_tool_fail(err, OM_EXIT_USAGE, "usage: omen keys revoke ID|NAME");
    }
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    const Omen__V1__Key *k = om_remote_key_revoke(r, args->rest[1], err);
    if (k != NULL && args->json) {
        om_out_object(key_json(k));
    } else if (k != NULL && !args->quiet) {
        (void)printf("key %s (%s) is revoked: calls with it end now\n", k->name, k->id);
    }
    om_remote_link_close(r);
    return k != NULL;
}

static bool whoami(const om_args *args, om_tool_error *err)
{
    static const char *const kinds[] = {"nobody", "key", "jwt", "certificate", "bootstrap key"};
    om_remote_link *r;
    char when[32];
    if (args->rest_count > 1) {
        return om_tool_fail(err, OM_EXIT_USAGE, "usage: omen keys whoami");
    }
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    const Omen__V1__Principal *p = om_remote_who(r, err);
    if (p != NULL) {
        size_t kind = (size_t)p->kind;
        const char *by = kind < sizeof kinds / sizeof *kinds ? kinds[kind] : "?";
        if (args->json) {
            om_out_object(json_pack("{s:s, s:s, s:s, s:o, s:I}", "name", p->name, "kind", by,
                                    "tenant", p->tenant, "grants",
                                    grants_json(p->grants, p->n_grants), "expires_unix",
                                    (json_int_t)p->expires_unix));
        } else {
            (void)printf("%s (%s), tenant %s, ", p->name, by, p->tenant);
            print_grants(stdout, p->grants, p->n_grants);
            (void)printf(", expires %s\n", om_out_time(when, p->expires_unix));
        }
    }
    om_remote_link_close(r);
    return p != NULL;
}

bool om_cmd_keys(const om_args *args, om_tool_error *err)
{
    static const struct {
        const char *name;
        bool (*run)(const om_args *args, om_tool_error *err);
    } verbs[] = {{"create", create}, {"list", list}, {"revoke", revoke_key}, {"whoami", whoami}};
    if (args->server == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "keys are a server's: give --server HOST:PORT");
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(args->rest[0], verbs[i].name) == 0) {
            return verbs[i].run(args, err);
        }
    }
    return om_tool_fail(err, OM_EXIT_USAGE, "omen keys has no '%s': create, list, revoke or whoami",
                        args->rest[0]);
}
