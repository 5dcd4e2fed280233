/* config_table.c - the options of omend: names, bounds, defaults and what --help says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config_int.h"
#include "omen.h"
#include "slog.h"

#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define FIELD(name_) offsetof(om_config, name_)

static const om_config_word levels[] = {{"off", OMEN_LOG_OFF},     {"error", OMEN_LOG_ERROR},
                                        {"warn", OMEN_LOG_WARN},   {"info", OMEN_LOG_INFO},
                                        {"debug", OMEN_LOG_DEBUG}, {NULL, 0}};
static const om_config_word formats[] = {{"text", OM_SLOG_TEXT}, {"json", OM_SLOG_JSON}, {NULL, 0}};
static const om_config_word levels_of_durability[] = {{"none", OMEN_DURABILITY_NONE},
                                                      {"interval", OMEN_DURABILITY_INTERVAL},
                                                      {"batch", OMEN_DURABILITY_BATCH},
                                                      {NULL, 0}};
static const om_config_word warms[] = {
    {"codes", OMEN_WARM_CODES}, {"none", OMEN_WARM_NONE}, {"all", OMEN_WARM_ALL}, {NULL, 0}};
static const om_config_word consoles[] = {
    {"off", OM_CONSOLE_OFF}, {"local", OM_CONSOLE_LOCAL}, {"any", OM_CONSOLE_ANY}, {NULL, 0}};
static const om_config_word automatic[] = {{"auto", 0}, {NULL, 0}};
static const om_config_word off[] = {{"off", 0}, {NULL, 0}};
/* The value of "auto" does not fit a word: parsing knows it. */
static const om_config_word memory[] = {{"none", 0}, {"auto", UINT32_MAX}, {NULL, 0}};

/* clang-format off */
const om_config_row om_config_rows[] = {
    {"listen", OM_TYPE_LISTEN, FIELD(listen),
     1, OM_CONFIG_MAX_LISTEN, "127.0.0.1:7700", NULL, "HOST:PORT",
     "where gRPC is served; a list, or given several times; port 0: any free one;\n"
     "[IPV6]:PORT and unix:/PATH work too"},
    {"admin-listen", OM_TYPE_STRING, FIELD(admin_listen),
     0, 0, "127.0.0.1:7701", NULL, "HOST:PORT",
     "where /metrics, /livez, /readyz and /startupz are served; off: nowhere"},
    {"data-dir", OM_TYPE_STRING, FIELD(data_dir),
     0, 0, NULL, NULL, "DIR",
     "keep the collections in this folder, which is made when it is missing; without it they live\n"
     "in memory and end with the process"},
    {"durability", OM_TYPE_WORD, FIELD(durability),
     0, 0, "batch", levels_of_durability, "LEVEL",
     "of new collections that name none: batch: on disk before a write is acknowledged; interval:\n"
     "synced every interval-ms; none: when the system likes. All survive the end of the process"},
    {"interval-ms", OM_TYPE_U32, FIELD(interval_ms),
     1, 60000, "50", NULL, "MS",
     "between two syncs of the level interval: what a power failure may take"},
    {"backup-dir", OM_TYPE_STRING, FIELD(backup_dir),
     0, 0, NULL, NULL, "DIR",
     "where backups are made, restored and verified, by names; without it there are none"},
    {"warm", OM_TYPE_WORD, FIELD(warm),
     0, 0, "codes", warms, "WHAT",
     "read ahead at the start, in the background: codes (and links), none, or all"},
    {"ram", OM_TYPE_BOOL, FIELD(ram),
     0, 1, "false", NULL, "",
     "copy segments into memory instead of serving them from mapped files"},
    {"seal-rows", OM_TYPE_U32, FIELD(seal_rows),
     1024, 16777216, "auto", automatic, "N",
     "rows of a growing segment before it becomes a file; auto: 262144"},
    {"seal-bytes", OM_TYPE_BYTES, FIELD(seal_bytes),
     1 * MIB, 64 * GIB, "auto", automatic, "BYTES",
     "the same by the size of its vectors; auto: 512MiB, less under a small memory limit"},
    {"reserve-bytes", OM_TYPE_BYTES, FIELD(reserve_bytes),
     1 * MIB, UINT64_C(1) << 50, "auto", automatic, "BYTES",
     "free disk space below which writes are refused; auto: 5 % of the disk, at most 1GiB"},
    {"open", OM_TYPE_OPEN, FIELD(open),
     0, OM_CONFIG_MAX_OPEN, NULL, NULL, "NAME=FILE",
     "serve a saved segment file read-only as collection NAME; a list, or several times"},
    {"tls-cert", OM_TYPE_STRING, FIELD(tls_cert),
     0, 0, NULL, NULL, "FILE",
     "PEM chain, the server's certificate first; changed files are taken up by themselves"},
    {"tls-key", OM_TYPE_STRING, FIELD(tls_key),
     0, 0, NULL, NULL, "FILE",
     "PEM key of the certificate, not encrypted"},
    {"tls-client-ca", OM_TYPE_STRING, FIELD(tls_client_ca),
     0, 0, NULL, NULL, "FILE",
     "PEM authorities; clients must then show a certificate of theirs (mTLS)"},
    {"insecure-expose", OM_TYPE_BOOL, FIELD(insecure_expose),
     0, 1, "false", NULL, "",
     "allow addresses that others can reach without TLS: everybody there may read and write"},
    {"catalog", OM_TYPE_STRING, FIELD(catalog),
     0, 0, NULL, NULL, "FILE",
     "API keys, certificate identities and tenants; made when it is missing. With it, or with one of\n"
     "the next two, every call must show a credential"},
    {"bootstrap-key-file", OM_TYPE_STRING, FIELD(bootstrap_key_file),
     0, 0, NULL, NULL, "FILE",
     "1 to 4 keys that may do everything, one a line, 32 to 512 characters; taken up when it changes"},
    {"jwt-key", OM_TYPE_STRING, FIELD(jwt_key),
     0, 0, NULL, NULL, "FILE",
     "accept tokens that these keys have signed: PEM public keys, a JSON Web Key Set, or an HMAC\n"
     "secret; taken up when it changes"},
    {"jwt-algorithm", OM_TYPE_STRING, FIELD(jwt_algorithm),
     0, 0, NULL, NULL, "NAME",
     "the one that tokens must have: RS256, PS256, ES256, EdDSA, HS256, or with 384 or 512"},
    {"jwt-issuer", OM_TYPE_STRING, FIELD(jwt_issuer),
     0, 0, NULL, NULL, "TEXT",
     "tokens must be of this issuer (iss)"},
    {"jwt-audience", OM_TYPE_STRING, FIELD(jwt_audience),
     0, 0, NULL, NULL, "TEXT",
     "tokens must be for this audience (aud)"},
    {"certificate-identities", OM_TYPE_BOOL, FIELD(certificate_identities),
     0, 1, "false", NULL, "",
     "a client certificate whose name has a key in the catalog is a credential"},
    {"audit-log", OM_TYPE_STRING, FIELD(audit_log),
     0, 0, NULL, NULL, "FILE",
     "append who changed or was refused what, one JSON object a line; SIGHUP opens it again;\n"
     "without it these lines are in the log"},
    {"threads", OM_TYPE_U32, FIELD(threads),
     0, 1024, "auto", automatic, "N",
     "index and background threads; auto: one per core"},
    {"search-workers", OM_TYPE_U32, FIELD(search_workers),
     0, 1024, "auto", automatic, "N",
     "threads that search; auto: one per core"},
    {"io-threads", OM_TYPE_U32, FIELD(io_threads),
     2, 64, "auto", automatic, "N",
     "threads of the gRPC transport; auto: 2 to 4"},
    {"memory-limit", OM_TYPE_BYTES, FIELD(memory_limit),
     16 * MIB, UINT64_C(1) << 50, "auto", memory, "BYTES",
     "most that the indexes may take; beyond it writes are refused; none: no limit;\n"
     "auto: 0.8 x the limit of the control group, or of the machine's memory; under 320MiB less"},
    {"max-message-bytes", OM_TYPE_BYTES32, FIELD(max_message_bytes),
     64 * KIB, 16 * MIB, "16MiB", NULL, "BYTES",
     "largest gRPC message, both ways"},
    {"max-streams-per-connection", OM_TYPE_U32, FIELD(max_streams_per_connection),
     1, 128, "128", NULL, "N",
     "calls that may be open on one connection"},
    {"max-inflight", OM_TYPE_U32, FIELD(max_inflight),
     1, 1000000, "4096", NULL, "N",
     "calls that may be open in all; more are refused with RESOURCE_EXHAUSTED"},
    {"max-connections", OM_TYPE_U32, FIELD(max_connections),
     1, 1048576, "auto", automatic, "N",
     "open gRPC connections; more are closed at once; auto: the limit of open files, less an eighth"},
    {"max-connections-per-address", OM_TYPE_U32, FIELD(max_connections_per_address),
     0, 1048576, "off", off, "N",
     "of these, from one address; off where a proxy or NAT stands in front"},
    {"max-collections-per-tenant", OM_TYPE_U32, FIELD(max_collections_per_tenant),
     0, 1048576, "10000", off, "N",
     "collections of a tenant other than default; more are refused with RESOURCE_EXHAUSTED"},
    {"connection-idle-ms", OM_TYPE_U32, FIELD(connection_idle_ms),
     1000, 86400000, "900000", NULL, "MS",
     "a connection without calls is closed after it"},
    {"connection-age-ms", OM_TYPE_U32, FIELD(connection_age_ms),
     1000, 86400000, "1800000", NULL, "MS",
     "a connection is told to go after it, so that clients spread over new servers"},
    {"connection-grace-ms", OM_TYPE_U32, FIELD(connection_grace_ms),
     1000, 86400000, "600000", NULL, "MS",
     "after that: time for its calls to end"},
    {"keepalive-ms", OM_TYPE_U32, FIELD(keepalive_ms),
     1000, 86400000, "60000", NULL, "MS",
     "ask a silent connection for a sign of life after it; stalled ones are found so"},
    {"keepalive-timeout-ms", OM_TYPE_U32, FIELD(keepalive_timeout_ms),
     1000, 86400000, "20000", NULL, "MS",
     "close it when none came by then"},
    {"stalled-call-ms", OM_TYPE_U32, FIELD(stalled_call_ms),
     1000, 86400000, "120000", NULL, "MS",
     "end a call whose client takes nothing of its answer, or does not send its request, for so long"},
    {"max-resets-per-second", OM_TYPE_U32, FIELD(max_resets),
     0, 1000000, "1000", off, "N",
     "close a connection that cancels more calls in a second; off: any number"},
    {"stream-window-bytes", OM_TYPE_BYTES, FIELD(stream_window_bytes),
     64 * KIB, 1 * GIB, "32MiB", NULL, "BYTES",
     "bytes of a StreamWrite that may be unacknowledged; at least max-message-bytes"},
    {"predrain-ms", OM_TYPE_U32, FIELD(predrain_ms),
     0, 300000, "0", NULL, "MS",
     "after SIGTERM: serve on, unready, so that load balancers move away"},
    {"grace-ms", OM_TYPE_U32, FIELD(grace_ms),
     0, 600000, "10000", NULL, "MS",
     "after that: time for running calls to end before they are cancelled"},
    {"log-level", OM_TYPE_WORD, FIELD(log_level),
     0, 0, "info", levels, "LEVEL",
     "off, error, warn, info or debug"},
    {"log-format", OM_TYPE_WORD, FIELD(log_format),
     0, 0, "text", formats, "FORMAT",
     "text or json: one object a line"},
    {"log-file", OM_TYPE_STRING, FIELD(log_file),
     0, 0, NULL, NULL, "FILE",
     "append the log to it instead of stderr; SIGHUP opens it again"},
    {"slow-log-ms", OM_TYPE_U32, FIELD(slow_log_ms),
     0, 3600000, "1000", off, "MS",
     "log calls that took longer; off or 0: none"},
    {"metrics-collections", OM_TYPE_U32, FIELD(metrics_collections),
     0, 1000, "32", NULL, "N",
     "collections with metrics of their own, most used first; the rest is summed"},
    {"recall-sample", OM_TYPE_U32, FIELD(recall_sample),
     0, 1000000000, "100", off, "N",
     "measure the recall of one search of N, beside them, against an exact one; off or 0: none"},
    {"recall-cost", OM_TYPE_U32, FIELD(recall_cost),
     1, 1000, "10", NULL, "PERMILLE",
     "most that this may take of one core, in thousandths"},
    {"console", OM_TYPE_WORD, FIELD(console),
     0, 0, "local", consoles, "WHO",
     "who may use the page /console of admin-listen: local: this machine, called localhost, 127.0.0.1\n"
     "or [::1]; any: whoever reaches the port and shows a credential; off: nobody"},
    {"ready-file", OM_TYPE_STRING, FIELD(ready_file),
     0, 0, NULL, NULL, "FILE",
     "write the addresses to it once serving, as on stdout; removed at the end"},
    {"config", OM_TYPE_FILE, FIELD(file),
     0, 0, NULL, NULL, "FILE",
     "read options from it: lines of `name = value`, # starts a comment line"},
};
/* clang-format on */
const size_t om_config_row_count = sizeof om_config_rows / sizeof om_config_rows[0];
_Static_assert(sizeof om_config_rows / sizeof om_config_rows[0] <= OM_CONFIG_MAX_OPTIONS,
               "om_config.source has one byte an option");

const om_config_row *om_config_find(const char *name, size_t length)
{
    for (size_t i = 0; i < om_config_row_count; i++) {
        const char *row = om_config_rows[i].name;
        if (strlen(row) == length && memcmp(row, name, length) == 0) {
            return &om_config_rows[i];
        }
    }
    return NULL;
}
