/* fuzz_textimage.c - any bytes as an image of words and rows: refused, or verified, searched and
 * merged without a step out of bounds. The first byte: odd inputs get a good size and magic, so that
 * they get further; the rest of it chooses what is asked. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "text_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 5 };
static om_budget budget = {.limit = UINT64_C(1) << 29};
static const om_alloc heap = {.budget = &budget};

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void told(omen_status_t status)
{
    need(status == OMEN_OK || status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED ||
             status == OMEN_RESOURCE_EXHAUSTED,
         "the status of bad bytes");
}

/* Hits are rows of the source that pass, best first. */
static void check_hits(const om_text_search *search, uint32_t rows)
{
    for (uint32_t i = 0; i < search->found; i++) {
        const om_text_hit *hit = &search->hits[i];
        need(hit->source == 0 && hit->row < rows, "a row of the image");
        need(hit->score > 0 && hit->score < 1e30f, "a finite score");
        need(i == 0 || hit->score <= search->hits[i - 1].score, "scores fall");
        need(search->sources[0].pass == NULL ||
                 (search->sources[0].pass[hit->row / 64] >> (hit->row % 64) & 1) != 0,
             "a row that passes");
    }
}

static void search_image(const om_textimage *image, const char *text, uint32_t rows,
                         const uint64_t *pass)
{
    const om_analyser_options plain = {.flags = OMEN_FIELD_NO_STEMMING};
    om_analyser *analyser;
    om_textquery *query;
    om_textscratch *scratch;
    om_text_hit hits[LIMIT];
    need(om_analyser_create(&heap, &plain, &analyser, NULL) == OMEN_OK, "an analyser");
    const om_text_target targets[2] = {{.field = 0, .weight = 1, .analyser = analyser},
                                       {.field = 3, .weight = 2, .analyser = analyser}};
    const om_textquery_options options = {.text = text,
                                          .length = strlen(text),
                                          .targets = targets,
                                          .target_count = 2,
                                          .k1 = 1.2f,
                                          .b = 0.75f};
    need(om_textquery_create(&heap, &options, &query, NULL) == OMEN_OK, "a query");
    need(om_textscratch_create(&heap, &scratch, NULL) == OMEN_OK, "scratch");
    const om_text_source source = {.image = image, .count = rows, .pass = pass};
    om_text_search search = {
        .query = query, .sources = &source, .source_count = 1, .limit = LIMIT, .hits = hits};
    omen_status_t status = om_text_run(&search, scratch, NULL);
    told(status);
    if (status == OMEN_OK) {
        check_hits(&search, rows);
    }
    om_textscratch_free(scratch);
    om_textquery_free(query);
    om_analyser_free(analyser);
}

static void merge_image(const om_textimage *image, uint64_t *drop)
{
    const om_textimage *images[2] = {image, image};
    const uint64_t *drops[2] = {NULL, drop};
    const om_text_merge what = {.images = images, .drop = drops, .count = 2};
    uint8_t *bytes;
    size_t size;
    omen_status_t status = om_textimage_merge(&heap, &what, &bytes, &size, NULL);
    told(status);
    if (status == OMEN_OK) {
        om_textimage *merged;
        need(om_textimage_open(&heap, bytes, size, &merged, NULL) == OMEN_OK, "a merged image");
        om_textimage_free(merged);
        om_alloc_put(&heap, bytes, size, 64);
    }
}

static void use_image(const om_textimage *image, uint32_t how)
{
    static const char *const texts[] = {"w0", "w0 w1 w2 w3", "\"w0 w1\"",
                                        "w5 \"w1 w2 w0\" w0 w17 w40"};
    const uint32_t rows = om_textimage_rows(image);
    if (rows > 1u << 20) {
        return; /* bitmaps of them would be most of the time */
    }
    const size_t words = (size_t)rows / 64 + 1;
    uint64_t *pass = om_alloc_zero(&heap, words, 8, 8);
    need(pass != NULL, "memory");
    for (size_t i = 0; i < words; i++) {
        pass[i] = how / 8 % 2 == 0 ? UINT64_C(0x5555555555555555) : UINT64_C(1) << (i % 64);
    }
    told(om_textimage_verify(image, NULL, NULL));
    search_image(image, texts[how % 4], rows, how / 4 % 2 == 0 ? NULL : pass);
    merge_image(image, how / 4 % 2 == 0 ? NULL : pass);
    om_alloc_put(&heap, pass, words * 8, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_textimage *image = NULL;
    if (size <= 1) {
        return 0;
    }
    /* A copy of exactly the size that is told, aligned, so that a sanitizer sees a step too far. */
    const size_t bytes_size = size - 1;
    uint8_t *bytes = om_alloc_get(&heap, bytes_size, 16);
    need(bytes != NULL, "memory");
    memcpy(bytes, data + 1, bytes_size);
    if (data[0] % 2 == 1 && bytes_size >= sizeof(om_texthead)) {
        om_texthead head;
        memcpy(&head, bytes, sizeof head);
        head.magic = OM_TEXT_MAGIC;
        head.version = OM_TEXT_VERSION;
        head.size = bytes_size;
        memcpy(bytes, &head, sizeof head);
    }
    omen_status_t status = om_textimage_open(&heap, bytes, bytes_size, &image, NULL);
    told(status);
    if (status == OMEN_OK) {
        use_image(image, data[0] / 2u);
        om_textimage_free(image);
    }
    om_alloc_put(&heap, bytes, bytes_size, 16);
    return 0;
}
