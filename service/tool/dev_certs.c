/* dev_certs.c - makes a local authority and signs certificates with it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dev_certs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CA_DAYS = 3650, NAMES_MAX = 4096, SERIAL_BYTES = 16, EARLIER = 3600 };

struct om_dev_ca {
    char folder[3072];
    X509 *certificate;
    EVP_PKEY *key;
};

static bool fail_openssl(const char *what, om_tool_error *err)
{
    char text[256] = "no more is known";
    unsigned long code = ERR_get_error();
    if (code != 0) {
        ERR_error_string_n(code, text, sizeof text);
    }
    ERR_clear_error();
    return om_tool_fail(err, OM_EXIT_RUNTIME, "%s: %s", what, text);
}

bool om_dev_name_ok(const char *name)
{
    size_t n = strlen(name);
    bool ok =
        n >= 1 && n <= OM_DEV_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
    return ok && strchr("._-", name[0]) == NULL;
}

/* ---- Files ------------------------------------------------------------------------------------- */

typedef char path_text[3200];

static void path_of(const om_dev_ca *ca, const char *name, const char *suffix, path_text out)
{
    (void)snprintf(out, sizeof(path_text), "%s/%s.%s", ca->folder, name, suffix);
}

/* Both of a pair are there, none is, or the folder needs somebody's attention. */
static bool pair_there(const om_dev_ca *ca, const char *name, bool *there, om_tool_error *err)
{
    path_text pem, key;
    path_of(ca, name, "pem", pem);
    path_of(ca, name, "key", key);
    bool has_pem = access(pem, F_OK) == 0, has_key = access(key, F_OK) == 0;
    *there = has_pem && has_key;
    return has_pem == has_key
               ? true
               : om_tool_fail(err, OM_EXIT_PRECONDITION,
                              "%s is there without %s: remove it, or bring back the other",
                              has_pem ? pem : key, has_pem ? key : pem);
}

/* Written beside its place and renamed over it, so that a server never reads half of it. */
static bool write_pem(const char *path, mode_t mode, X509 *certificate, EVP_PKEY *key,
                      om_tool_error *err)
{
    char partial[sizeof(path_text) + 8];
    (void)snprintf(partial, sizeof partial, "%s.new", path);
    (void)unlink(partial);
    int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL) {
        int why = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return om_tool_fail(err, OM_EXIT_RUNTIME, "%s: cannot make it: %s", path, strerror(why));
    }
    bool ok = certificate != NULL ? PEM_write_X509(f, certificate) == 1
                                  : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
    ok = ok && fflush(f) == 0 && fsync(fd) == 0;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(partial, path) != 0) {
        int why = errno;
        (void)unlink(partial);
        return om_tool_fail(err, OM_EXIT_RUNTIME, "%s: cannot write it: %s", path, strerror(why));
    }
    return true;
}

static bool write_pair(const om_dev_ca *ca, const char *name, X509 *certificate, EVP_PKEY *key,
                       om_tool_error *err)
{
    path_text path;
    path_of(ca, name, "key", path);
    if (!write_pem(path, 0600, NULL, key, err)) {
        return false;
    }
    path_of(ca, name, "pem", path);
    return write_pem(path, 0644, certificate, NULL, err);
}

/* ---- Certificates ------------------------------------------------------------------------------- */

static bool extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return false;
    }
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and of full length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return ok;
}

/* Without extensions and signature. */
static X509 *blank(const char *name, X509 *issuer, EVP_PKEY *key, long days)
{
    X509 *c = X509_new();
    X509_NAME *subject = c != NULL ? X509_get_subject_name(c) : NULL;
    bool ok =
        subject != NULL && X509_set_version(c, 2) == 1 && set_serial(c) &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                   -1, 0) == 1 &&
        X509_set_issuer_name(c, issuer != NULL ? X509_get_subject_name(issuer) : subject) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(c), -EARLIER) != NULL &&
        X509_time_adj_ex(X509_getm_notAfter(c), (int)days, 0, NULL) != NULL &&
        X509_set_pubkey(c, key) == 1;
    if (!ok) {
        X509_free(c);
        c = NULL;
    }
    return c;
}

static bool make_ca(om_dev_ca *ca, om_tool_error *err)
{
    ca->key = EVP_EC_gen("P-256");
    ca->certificate = ca->key != NULL ? blank("omen test authority", NULL, ca->key, CA_DAYS) : NULL;
    X509 *c = ca->certificate;
    bool ok = c != NULL && extend(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              extend(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              extend(c, c, NID_subject_key_identifier, "hash") &&
              X509_sign(c, ca->key, EVP_sha256()) > 0;
    return ok ? write_pair(ca, "ca", c, ca->key, err)
              : fail_openssl("the authority could not be made", err);
}

static bool read_ca(om_dev_ca *ca, om_tool_error *err)
{
    path_text path;
    path_of(ca, "ca", "pem", path);
    FILE *f = fopen(path, "re");
    ca->certificate = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    if (f != NULL) {
        (void)fclose(f);
    }
    path_of(ca, "ca", "key", path);
    f = ca->certificate != NULL ? fopen(path, "re") : NULL;
    static char no_password[1]; /* an encrypted key is refused, not asked about */
    ca->key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, no_password) : NULL;
    if (f != NULL) {
        (void)fclose(f);
    }
    bool ok = ca->key != NULL && X509_check_private_key(ca->certificate, ca->key) == 1;
    ERR_clear_error();
    return ok ? true
              : om_tool_fail(err, OM_EXIT_BAD_INPUT,
                             "%s: ca.pem and ca.key are not a certificate and its key", ca->folder);
}

bool om_dev_ca_open(const char *folder, bool *made, om_dev_ca **out, om_tool_error *err)
{
    bool there;
    om_dev_ca *ca = calloc(1, sizeof *ca);
    if (ca == NULL) {
        return om_tool_no_memory(err, sizeof *ca);
    }
    int n = snprintf(ca->folder, sizeof ca->folder, "%s", folder);
    bool ok = n > 0 && (size_t)n < sizeof ca->folder;
    if (!ok) {
        om_tool_fail(err, OM_EXIT_USAGE, "the folder's name is empty or too long");
    } else if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        ok = om_tool_fail(err, OM_EXIT_RUNTIME, "%s: cannot make it: %s", folder, strerror(errno));
    }
    ok = ok && pair_there(ca, "ca", &there, err) && (there ? read_ca(ca, err) : make_ca(ca, err));
    if (!ok) {
        om_dev_ca_free(ca);
        return false;
    }
    *made = !there;
    *out = ca;
    return true;
}

void om_dev_ca_free(om_dev_ca *ca)
{
    if (ca != NULL) {
        X509_free(ca->certificate);
        EVP_PKEY_free(ca->key);
        free(ca);
    }
}

/* "DNS:a,IP:1.2.3.4": hosts are checked, so that none can add to the list by itself. */
static bool names_of(const om_dev_leaf *leaf, char *out, size_t cap, om_tool_error *err)
{
    size_t at = 0;
    const char *only[] = {leaf->name};
    const char *const *hosts = leaf->hosts != NULL ? leaf->hosts : only;
    size_t count = leaf->hosts != NULL ? leaf->host_count : 1;
    for (size_t i = 0; i < count; i++) {
        unsigned char address[16];
        const char *host = hosts[i];
        bool ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
        size_t n = strlen(host);
        if (!ip && (n == 0 || n > 253 ||
                    strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789.-_*") != n)) {
            return om_tool_fail(err, OM_EXIT_USAGE, "--host %s is neither a name nor an address",
                                host);
        }
        int written =
            snprintf(out + at, cap - at, "%s%s:%s", i > 0 ? "," : "", ip ? "IP" : "DNS", host);
        if (written < 0 || (size_t)written >= cap - at) {
            return om_tool_fail(err, OM_EXIT_USAGE, "too many names for one certificate");
        }
        at += (size_t)written;
    }
    return true;
}

bool om_dev_issue(om_dev_ca *ca, const om_dev_leaf *leaf, bool *made, om_tool_error *err)
{
    bool there;
    char names[NAMES_MAX];
    if (!om_dev_name_ok(leaf->name) || strcmp(leaf->name, "ca") == 0) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "'%s' is no name for a certificate: small letters, digits, '.', '_', "
                            "'-', at most 63, and not 'ca'",
                            leaf->name);
    }
    if (!pair_there(ca, leaf->name, &there, err) || !names_of(leaf, names, sizeof names, err)) {
        return false;
    }
    *made = !there || leaf->replace;
    if (!*made) {
        return true;
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *c = key != NULL ? blank(leaf->name, ca->certificate, key, (long)leaf->days) : NULL;
    const char *usage = leaf->hosts != NULL ? "serverAuth" : "clientAuth";
    bool ok = c != NULL && extend(c, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
              extend(c, ca->certificate, NID_key_usage, "critical,digitalSignature") &&
              extend(c, ca->certificate, NID_ext_key_usage, usage) &&
              extend(c, ca->certificate, NID_subject_alt_name, names) &&
              extend(c, ca->certificate, NID_subject_key_identifier, "hash") &&
              extend(c, ca->certificate, NID_authority_key_identifier, "keyid") &&
              X509_sign(c, ca->key, EVP_sha256()) > 0;
    ok = ok ? write_pair(ca, leaf->name, c, key, err)
            : fail_openssl("the certificate could not be made", err);
    X509_free(c);
    EVP_PKEY_free(key);
    return ok;
}

/* ---- What is there ------------------------------------------------------------------------------ */

static bool has_host(X509 *certificate, const char *host)
{
    unsigned char address[16];
    bool ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    return ip ? X509_check_ip_asc(certificate, host, 0) == 1
              : X509_check_host(certificate, host, 0, 0, NULL) == 1;
}

void om_dev_lacks(const om_dev_ca *ca, const om_dev_leaf *leaf, char *out, size_t size)
{
    path_text path;
    path_of(ca, leaf->name, "pem", path);
    FILE *f = fopen(path, "re");
    X509 *c = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    if (f != NULL) {
        (void)fclose(f);
    }
    out[0] = '\0';
    if (c == NULL) {
        (void)snprintf(out, size, "it cannot be read");
    } else if (X509_cmp_current_time(X509_get0_notAfter(c)) <= 0) {
        (void)snprintf(out, size, "it has ended");
    } else if (X509_verify(c, ca->key) != 1) {
        (void)snprintf(out, size, "another authority has signed it");
    }
    for (size_t i = 0; c != NULL && leaf->hosts != NULL && i < leaf->host_count; i++) {
        if (out[0] == '\0' && !has_host(c, leaf->hosts[i])) {
            (void)snprintf(out, size, "%.200s is not in it", leaf->hosts[i]);
        }
    }
    X509_free(c);
    ERR_clear_error();
}

size_t om_dev_clients(const om_dev_ca *ca, char (*names)[OM_DEV_NAME + 1], size_t capacity)
{
    size_t count = 0;
    DIR *folder = opendir(ca->folder);
    for (struct dirent *d; folder != NULL && count < capacity && (d = readdir(folder)) != NULL;) {
        char *name = names[count];
        size_t n = strlen(d->d_name);
        if (n <= 4 || n > OM_DEV_NAME + 4 || strcmp(d->d_name + n - 4, ".pem") != 0) {
            continue;
        }
        (void)snprintf(name, OM_DEV_NAME + 1, "%.*s", (int)(n - 4), d->d_name);
        path_text key;
        path_of(ca, name, "key", key);
        bool own = strcmp(name, "ca") != 0 && strcmp(name, "server") != 0 && om_dev_name_ok(name);
        count += own && access(key, F_OK) == 0 ? 1 : 0;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}
