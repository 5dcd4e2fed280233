/* embed.c - build tool: files as C arrays, several of them joined to one asset.
 * Usage: embed OUT.c NAME FILE... [-- NAME FILE...]...
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ASSETS = 16, PER_LINE = 24 };

static void die(const char *what, const char *which)
{
    (void)fprintf(stderr, "embed: %s: %s\n", what, which);
    exit(1);
}

static size_t put_file(FILE *out, const char *path, size_t written)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        die("cannot read", path);
    }
    for (int c = getc(in); c != EOF; c = getc(in)) {
        (void)fprintf(out, "%d,%s", c, ++written % PER_LINE == 0 ? "\n" : "");
    }
    if (ferror(in) != 0) {
        die("cannot read", path);
    }
    (void)fclose(in);
    return written;
}

int main(int argc, char **argv)
{
    const char *names[MAX_ASSETS];
    size_t sizes[MAX_ASSETS];
    int count = 0;
    FILE *out = argc > 3 ? fopen(argv[1], "wb") : NULL;
    if (out == NULL) {
        die("usage", "OUT.c NAME FILE... [-- NAME FILE...]...");
        return 1;
    }
    (void)fputs("/* Made by embed.c. */\n#include \"console_int.h\"\n", out);
    for (int at = 2; at < argc; at++) {
        if (count == MAX_ASSETS) {
            die("too many assets", argv[at]);
        }
        names[count] = argv[at++];
        sizes[count] = 0;
        (void)fprintf(out, "static const unsigned char asset_%d[] = {\n", count);
        for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
            sizes[count] = put_file(out, argv[at], sizes[count]);
        }
        (void)fputs("0};\n", out); /* never empty, and terminated */
        count++;
    }
    (void)fputs("const om_console_asset om_console_assets[] = {\n", out);
    for (int i = 0; i < count; i++) {
        (void)fprintf(out, "{\"%s\", asset_%d, %zu},\n", names[i], i, sizes[i]);
    }
    (void)fprintf(out, "};\nconst size_t om_console_asset_count = %d;\n", count);
    return fclose(out) == 0 ? 0 : 1;
}
