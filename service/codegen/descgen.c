/* descgen.c - build tool: turns protoc's descriptor set into C: the files for server reflection, a
 * sorted table of symbols, and the list of methods, from which the server makes its method table.
 * Usage: descgen SET.pb OUT.c OUT.inc.  The input comes from protoc in the same build and is trusted
 * to be well formed; lengths are checked all the same. SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 64, MAX_SYMBOLS = 4096, MAX_NAME = 256, MAX_DEPENDS = 32 };

typedef struct span {
    const uint8_t *at, *end;
} span;
typedef struct field {
    uint32_t number;
    uint64_t value; /* of a varint        */
    span bytes;     /* of a length-delimited field */
} field;
typedef struct file_entry {
    char name[MAX_NAME];
    span bytes;
    char depends[MAX_DEPENDS][MAX_NAME];
    int depend_count;
} file_entry;
typedef struct symbol {
    char name[MAX_NAME];
    int file;
} symbol;

static file_entry files[MAX_FILES];
static int file_count;
static symbol symbols[MAX_SYMBOLS];
static int symbol_count;
static char services[MAX_FILES][MAX_NAME];
static int service_count;

static void die(const char *why)
{
    fprintf(stderr, "descgen: %s\n", why);
    exit(1);
}

static uint64_t varint(span *s)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && s->at < s->end; shift += 7) {
        uint8_t byte = *s->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    die("varint cut off");
    return 0;
}

/* The next varint or length-delimited field; others do not occur in descriptors that we read. */
static bool next(span *s, field *f)
{
    if (s->at == s->end) {
        return false;
    }
    uint64_t tag = varint(s);
    f->number = (uint32_t)(tag >> 3);
    f->value = varint(s);
    f->bytes = (span){NULL, NULL};
    if ((tag & 7) == 2) {
        if (f->value > (uint64_t)(s->end - s->at)) {
            die("field longer than its message");
        }
        f->bytes = (span){s->at, s->at + f->value};
        s->at += f->value;
    } else if ((tag & 7) != 0) {
        die("wire type not expected");
    }
    return true;
}

static void copy_name(char *out, const char *prefix, span name)
{
    int n = snprintf(out, MAX_NAME, "%s%s%.*s", prefix, prefix[0] != '\0' ? "." : "",
                     (int)(name.end - name.at), (const char *)name.at);
    if (n < 0 || n >= MAX_NAME) {
        die("name too long");
    }
}

/* Field `number` of the message as a name; "" when absent. */
static void name_of(span message, uint32_t number, const char *prefix, char *out)
{
    field f;
    out[0] = '\0';
    while (next(&message, &f)) {
        if (f.number == number && f.bytes.at != NULL) {
            copy_name(out, prefix, f.bytes);
        }
    }
}

static void add_symbol(const char *name)
{
    if (symbol_count == MAX_SYMBOLS) {
        die("too many symbols");
    }
    snprintf(symbols[symbol_count].name, MAX_NAME, "%s", name);
    symbols[symbol_count++].file = file_count;
}

/* A DescriptorProto: name 1, field 2, nested_type 3, enum_type 4. */
static void add_message(span message, const char *prefix)
{
    char name[MAX_NAME];
    char inner[MAX_NAME];
    name_of(message, 1, prefix, name);
    add_symbol(name);
    field f;
    while (next(&message, &f)) {
        if (f.number == 2 || f.number == 4) {
            name_of(f.bytes, 1, name, inner);
            add_symbol(inner);
        } else if (f.number == 3) {
            add_message(f.bytes, name);
        }
    }
}

/* A ServiceDescriptorProto: name 1, method 2 {name 1, client_streaming 5, server_streaming 6}. */
static void add_service(span message, const char *package, FILE *inc)
{
    char name[MAX_NAME];
    name_of(message, 1, package, name);
    add_symbol(name);
    snprintf(services[service_count++], MAX_NAME, "%s", name);
    field f;
    while (next(&message, &f)) {
        if (f.number != 2) {
            continue;
        }
        char method[MAX_NAME];
        char full[2 * MAX_NAME];
        name_of(f.bytes, 1, "", method);
        snprintf(full, sizeof full, "%s.%s", name, method);
        if (strlen(full) >= MAX_NAME) {
            die("name too long");
        }
        add_symbol(full);
        int client = 0;
        int server = 0;
        field g;
        for (span m = f.bytes; next(&m, &g);) {
            client = g.number == 5 ? (int)g.value : client;
            server = g.number == 6 ? (int)g.value : server;
        }
        for (char *c = full; *c != '\0'; c++) {
            if (*c == '.') {
                *c = '_';
            }
        }
        fprintf(inc, "OM_METHOD(%s, \"%s\", \"%s\", %d, %d)\n", full, name, method, client, server);
    }
}

/* A FileDescriptorProto: name 1, package 2, dependency 3, message 4, enum 5, service 6. */
static void add_file(span bytes, FILE *inc)
{
    if (file_count == MAX_FILES) {
        die("too many files");
    }
    file_entry *e = &files[file_count];
    char package[MAX_NAME];
    char name[MAX_NAME];
    e->bytes = bytes;
    name_of(bytes, 1, "", e->name);
    name_of(bytes, 2, "", package);
    field f;
    while (next(&bytes, &f)) {
        if (f.number == 3) {
            if (e->depend_count == MAX_DEPENDS) {
                die("too many imports");
            }
            copy_name(e->depends[e->depend_count++], "", f.bytes);
        } else if (f.number == 4) {
            add_message(f.bytes, package);
        } else if (f.number == 5) {
            name_of(f.bytes, 1, package, name);
            add_symbol(name);
        } else if (f.number == 6) {
            add_service(f.bytes, package, inc);
        }
    }
    file_count++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const symbol *)a)->name, ((const symbol *)b)->name);
}

static int file_index(const char *name)
{
    for (int i = 0; i < file_count; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return i;
        }
    }
    die("an import is not in the set");
    return -1;
}

static void write_file(FILE *out, int i)
{
    fprintf(out, "static const uint8_t bytes_%d[] = {", i);
    for (const uint8_t *p = files[i].bytes.at; p < files[i].bytes.end; p++) {
        fprintf(out, "%s%u,", (p - files[i].bytes.at) % 24 == 0 ? "\n    " : "", *p);
    }
    fprintf(out, "\n};\nstatic const uint32_t depends_%d[] = {", i);
    for (int d = 0; d < files[i].depend_count; d++) {
        fprintf(out, "%d, ", file_index(files[i].depends[d]));
    }
    fprintf(out, "UINT32_MAX};\n");
}

static void write_tables(FILE *out)
{
    fprintf(out, "/* Made by descgen from api/: do not edit. */\n#include \"descriptors.h\"\n");
    for (int i = 0; i < file_count; i++) {
        write_file(out, i);
    }
    fprintf(out, "const om_desc_file om_desc_files[] = {\n");
    for (int i = 0; i < file_count; i++) {
        fprintf(out, "    {\"%s\", bytes_%d, sizeof bytes_%d, depends_%d},\n", files[i].name, i, i,
                i);
    }
    fprintf(out, "};\nconst uint32_t om_desc_file_count = %d;\n", file_count);
    qsort(symbols, (size_t)symbol_count, sizeof *symbols, by_name);
    fprintf(out, "const om_desc_symbol om_desc_symbols[] = {\n");
    for (int i = 0; i < symbol_count; i++) {
        fprintf(out, "    {\"%s\", %d},\n", symbols[i].name, symbols[i].file);
    }
    fprintf(out, "};\nconst uint32_t om_desc_symbol_count = %d;\n", symbol_count);
    fprintf(out, "const char *const om_desc_services[] = {\n");
    for (int i = 0; i < service_count; i++) {
        fprintf(out, "    \"%s\",\n", services[i]);
    }
    fprintf(out, "};\nconst uint32_t om_desc_service_count = %d;\n", service_count);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        die("usage: descgen SET.pb OUT.c OUT.inc");
    }
    static uint8_t set[1 << 20];
    FILE *in = fopen(argv[1], "rb");
    FILE *out = fopen(argv[2], "w");
    FILE *inc = fopen(argv[3], "w");
    if (in == NULL || out == NULL || inc == NULL) {
        die("cannot open a file");
    }
    size_t n = fread(set, 1, sizeof set, in);
    if (n == sizeof set) {
        die("descriptor set larger than 1 MiB");
    }
    fprintf(inc, "/* Made by descgen from api/: do not edit. */\n");
    span s = {set, set + n};
    field f;
    while (next(&s, &f)) {
        if (f.number == 1) {
            add_file(f.bytes, inc);
        }
    }
    write_tables(out);
    if (fclose(out) != 0 || fclose(inc) != 0 || fclose(in) != 0) {
        die("cannot write");
    }
    return 0;
}
