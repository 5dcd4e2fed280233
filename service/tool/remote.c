/* remote.c - connecting to a server, packing requests, reading answers and errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

enum { PEM_MAX = 1 << 20 };

static bool read_pem(const char *path, char **out, om_tool_error *err)
{
    *out = NULL;
    if (path == NULL) {
        return true;
    }
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        return om_tool_fail(err, OM_EXIT_NOT_FOUND, "%s: cannot open: %s", path, strerror(errno));
    }
    char *text = calloc(1, PEM_MAX + 1);
    size_t n = text != NULL ? fread(text, 1, PEM_MAX + 1, f) : 0;
    bool ok = text != NULL && !ferror(f) && n <= PEM_MAX;
    (void)fclose(f);
    if (!ok) {
        free(text);
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: cannot be read, or is larger than 1 MiB",
                            path);
    }
    *out = text;
    return true;
}

bool om_endpoint_is_local(const char *address)
{
    static const char *const names[] = {"unix:", "localhost:", "[::1]:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(address, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    unsigned char bytes[4];
    char host[16];
    size_t length = strcspn(address, ":");
    if (length >= sizeof host || strcmp(address, "localhost") == 0) {
        return length < sizeof host;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    return inet_pton(AF_INET, host, bytes) == 1 && bytes[0] == 127;
}

enum { KEY_PREFIX = 7, KEY_MAX = 8192 - KEY_PREFIX }; /* "Bearer " */

/* The first line that is neither empty nor a comment. Returns its length, 0 when there is none. */
static size_t first_line(FILE *f, char *line, size_t cap, size_t *start)
{
    while (fgets(line, (int)cap, f) != NULL) {
        *start = strspn(line, " \t\r\n");
        size_t length = strcspn(line + *start, "\r\n");
        if (length > 0 && line[*start] != '#') {
            return length;
        }
    }
    return 0;
}

/* The key in the file, without the blanks around it, as the header's value. */
static bool read_key(const char *path, char **out, om_tool_error *err)
{
    bool piped = strcmp(path, "-") == 0;
    FILE *f = piped ? stdin : fopen(path, "rbe");
    if (f == NULL) {
        return om_tool_fail(err, OM_EXIT_NOT_FOUND, "%s: cannot open: %s", path, strerror(errno));
    }
    struct stat st;
    if (!piped && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) &&
        (st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        (void)fprintf(stderr, "omen: everybody on this machine may read %s: chmod o-rwx\n", path);
    }
    char line[KEY_MAX + 66]; /* the blanks have a limit too */
    size_t first = 0;
    size_t length = first_line(f, line, sizeof line, &first);
    if (!piped) {
        (void)fclose(f);
    }
    while (length > 0 && (line[first + length - 1] == ' ' || line[first + length - 1] == '\t')) {
        length--;
    }
    bool ok = length > 0 && length <= KEY_MAX;
    for (size_t i = 0; ok && i < length; i++) {
        ok = line[first + i] > 0x20 && line[first + i] < 0x7f;
    }
    *out = ok ? malloc(KEY_PREFIX + length + 1) : NULL;
    if (*out != NULL) {
        (void)snprintf(*out, KEY_PREFIX + length + 1, "Bearer %.*s", (int)length, line + first);
    }
    explicit_bzero(line, sizeof line);
    if (!ok) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: there must be an API key or a JWT in it, alone in a line",
                            piped ? "standard input" : path);
    }
    return *out != NULL ? true : om_tool_no_memory(err, length);
}

/* Never over a wire where it could be read, unless that is wanted. */
static bool load_key(const om_args *args, om_endpoint *e, om_tool_error *err)
{
    if (args->key_file == NULL) {
        return true;
    }
    if (args->tls_ca == NULL && !args->plain_key && !om_endpoint_is_local(args->server)) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "the key would go to %s in plain text: use TLS (--tls-ca), or say "
                            "--plain-key when nobody else can read it on the way",
                            args->server);
    }
    return read_key(args->key_file, &e->authorization, err);
}

/* The trace that this call belongs to, as tools of tracing hand it to programs that they start. A header
 * takes printable characters only: anything else is left out. */
static const char *trace_of_environment(void)
{
    enum { LONGEST = 256 };
    const char *text = getenv("TRACEPARENT");
    size_t size = text != NULL ? strnlen(text, LONGEST + 1) : 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return NULL;
        }
    }
    return size > 0 && size <= LONGEST ? text : NULL;
}

bool om_endpoint_load(const om_args *args, om_endpoint *e, om_tool_error *err)
{
    memset(e, 0, sizeof *e);
    e->timeout_ms = args->timeout_ms;
    if ((args->tls_cert != NULL) != (args->tls_key != NULL)) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--tls-cert and --tls-key go together");
    }
    if (args->tls_ca == NULL && (args->tls_cert != NULL || args->tls_name != NULL)) {
        return om_tool_fail(err, OM_EXIT_USAGE, "TLS needs --tls-ca: the roots to trust");
    }
    if (!read_pem(args->tls_ca, &e->ca, err) || !read_pem(args->tls_cert, &e->cert, err) ||
        !read_pem(args->tls_key, &e->key, err) || !load_key(args, e, err)) {
        om_endpoint_free(e);
        return false;
    }
    e->options.address = args->server;
    e->options.tls_ca = e->ca;
    e->options.tls_cert = e->cert;
    e->options.tls_key = e->key;
    e->options.tls_name = args->tls_name;
    e->options.authorization = e->authorization;
    e->options.traceparent = trace_of_environment();
    return true;
}

static void free_secret(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
    }
    free(text);
}

void om_endpoint_free(om_endpoint *e)
{
    free(e->ca);
    free(e->cert);
    free_secret(e->key);
    free_secret(e->authorization);
    memset(e, 0, sizeof *e);
}

bool om_endpoint_connect(const om_endpoint *e, om_rpcc **out, om_tool_error *err)
{
    om_rpcc_status status;
    return om_rpcc_open(&e->options, out, &status) ? true : om_remote_fail(e, &status, err);
}

om_rpcc_buf *om_remote_pack(const ProtobufCMessage *message)
{
    om_rpcc_buf *buf = om_rpcc_buf_create(protobuf_c_message_get_packed_size(message));
    if (buf != NULL) {
        (void)protobuf_c_message_pack(message, om_rpcc_buf_data(buf));
    }
    return buf;
}

bool om_remote_fail(const om_endpoint *e, const om_rpcc_status *status, om_tool_error *err)
{
    om_tool_fail(err, om_tool_exit_code(status->code), "%s: %s", e->options.address,
                 status->message[0] != '\0' ? status->message : omen_status_name(status->code));
    (void)snprintf(err->reason, sizeof err->reason, "%s",
                   status->reason[0] != '\0' ? status->reason : omen_status_name(status->code));
    err->retriable = status->retry_ms != 0 || status->code == OMEN_UNAVAILABLE;
    return false;
}

void *om_remote_unpack(const ProtobufCMessageDescriptor *type, om_rpcc_buf *from, om_arena *arena,
                       om_tool_error *err)
{
    om_failure why;
    memset(&why, 0, sizeof why);
    om_arena_reset(arena);
    arena->limit = 0; /* raised by what a message of this size may take */
    void *message =
        om_guard_unpack(type, arena, om_rpcc_buf_data(from), om_rpcc_buf_size(from), &why);
    if (message == NULL) {
        om_tool_fail(err, OM_EXIT_RUNTIME, "the server's answer is malformed: %s", why.message);
    }
    return message;
}

void *om_remote_call(const om_endpoint *e, om_rpcc *c, const char *method,
                     const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                     om_arena *arena, om_tool_error *err)
{
    om_rpcc_buf *packed = om_remote_pack(request);
    if (packed == NULL) {
        om_tool_no_memory(err, protobuf_c_message_get_packed_size(request));
        return NULL;
    }
    om_rpcc_buf *reply;
    om_rpcc_status status;
    void *message = NULL;
    if (om_rpcc_call(c, method, packed, e->timeout_ms, &reply, &status)) {
        message = om_remote_unpack(type, reply, arena, err);
        om_rpcc_buf_unref(reply);
    } else {
        om_remote_fail(e, &status, err);
    }
    om_rpcc_buf_unref(packed);
    return message;
}

char *om_remote_text(const char *text)
{
    char *out;
    memcpy(&out, &text, sizeof out);
    return out;
}

bool om_remote_ids(const om_ids *ids, size_t first, size_t count, Omen__V1__Ids *out, char ***texts,
                   om_tool_error *err)
{
    omen__v1__ids__init(out);
    *texts = NULL;
    if (ids->type == OMEN_ID_U64) {
        out->n_u64 = count;
        out->u64 = ids->u64 + first;
        return true;
    }
    if (ids->type == OMEN_ID_UUID) {
        out->uuid.len = 16 * count;
        out->uuid.data = ids->uuid + 16 * first;
        return true;
    }
    size_t bytes = count == 0 ? 0 : (size_t)(ids->offsets[first + count] - ids->offsets[first]);
    /* The pointers, then the texts with their NULs, in one allocation. */
    char **list = malloc(count * sizeof *list + bytes + count + 1);
    if (list == NULL) {
        return om_tool_no_memory(err, bytes);
    }
    char *to = (char *)(list + count);
    for (size_t i = 0; i < count; i++) {
        size_t len;
        const char *text = om_ids_string(ids, first + i, &len);
        list[i] = to;
        memcpy(to, text, len);
        to[len] = '\0';
        to += len + 1;
    }
    out->n_str = count;
    out->str = list;
    *texts = list;
    return true;
}

size_t om_remote_ids_count(const Omen__V1__Ids *ids)
{
    return ids == NULL ? 0 : ids->n_u64 + ids->uuid.len / 16 + ids->n_str;
}

bool om_remote_take_ids(const Omen__V1__Ids *from, om_ids *to, om_tool_error *err)
{
    bool ok = true;
    if (from == NULL) {
        return true;
    }
    for (size_t i = 0; ok && i < from->n_u64; i++) {
        ok = om_ids_add_u64(to, from->u64[i], err);
    }
    for (size_t i = 0; ok && i + 16 <= from->uuid.len; i += 16) {
        ok = om_ids_add_uuid(to, from->uuid.data + i, err);
    }
    for (size_t i = 0; ok && i < from->n_str; i++) {
        ok = om_ids_add_string(to, from->str[i], strlen(from->str[i]), err);
    }
    return ok ? true : om_tool_wrap(err, "the server's answer");
}

void om_remote_random_id(char *out, size_t size, const char *prefix)
{
    uint64_t words[2];
    if (getrandom(words, sizeof words, 0) != (ssize_t)sizeof words) {
        struct timespec now; /* unlikely; a clash would be told by the server, not hidden */
        (void)clock_gettime(CLOCK_REALTIME, &now);
        words[0] = (uint64_t)now.tv_sec;
        words[1] = (uint64_t)now.tv_nsec;
    }
    (void)snprintf(out, size, "%s-%016llx%016llx", prefix, (unsigned long long)words[0],
                   (unsigned long long)words[1]);
}
