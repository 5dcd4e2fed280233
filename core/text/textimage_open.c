/* textimage_open.c - bytes that nobody trusts become an image: the header and the bounds of its tables
 * here, words and lists where they are read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

omen_status_t om_text_damaged(omen_error *err, const char *what)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "text index: %s", what);
}

static bool inside(const om_texthead *head, uint64_t at, uint64_t count, uint64_t size,
                   uint32_t align)
{
    return at % align == 0 && at >= OM_TEXT_HEAD && at <= head->size &&
           count <= (head->size - at) / size;
}

static const char *check_head(const om_texthead *head, size_t size)
{
    if (size < OM_TEXT_HEAD || head->magic != OM_TEXT_MAGIC) {
        return "no header";
    }
    if (head->size != size) {
        return "its size is not the header's";
    }
    if (head->rows > OM_TEXT_MAX_ROWS || head->slot_bits > 31 || head->fields > UINT16_MAX) {
        return "a number of the header is out of range";
    }
    if (!inside(head, head->fields_at, head->fields, sizeof(om_textfield), 8) ||
        !inside(head, head->slots_at, UINT64_C(1) << head->slot_bits, 8, 8) ||
        !inside(head, head->entries_at, head->terms, sizeof(om_textentry), 8) ||
        !inside(head, head->words_at, head->words_size, 1, 1) ||
        !inside(head, head->lists_at, head->lists_size, 1, 16) ||
        size - head->lists_at - head->lists_size < OM_TEXT_TAIL) {
        return "a table is out of bounds";
    }
    return NULL;
}

static const char *check_fields(const om_textimage *image)
{
    const om_texthead *head = image->head;
    for (uint32_t f = 0; f < head->fields; f++) {
        const om_textfield *field = &image->fields[f];
        if (field->width != 1 && field->width != 2 && field->width != 4) {
            return "lengths of an unknown width";
        }
        if (!inside(head, field->lengths_at, head->rows, field->width, 4)) {
            return "the lengths of a field are out of bounds";
        }
        if (field->rows > head->rows || (f != 0 && field[-1].field >= field->field)) {
            return "a field's numbers are out of range";
        }
    }
    return NULL;
}

omen_status_t om_textimage_open(const om_alloc *alloc, const uint8_t *bytes, size_t size,
                                om_textimage **out, omen_error *err)
{
    const om_texthead *head = (const om_texthead *)(const void *)bytes;
    if (((uintptr_t)bytes & 15) != 0) {
        return om_fail(err, OMEN_INTERNAL, OMEN_D_NONE, "text index: not aligned");
    }
    const char *wrong = check_head(head, size);
    if (wrong != NULL) {
        return om_text_damaged(err, wrong);
    }
    if (head->version != OM_TEXT_VERSION) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "text index: version %u, this library reads %d", head->version,
                       OM_TEXT_VERSION);
    }
    om_textimage image = {.alloc = alloc,
                          .bytes = bytes,
                          .head = head,
                          .words = (const char *)bytes + head->words_at,
                          .lists = bytes + head->lists_at};
    image.fields = (const om_textfield *)(const void *)(bytes + head->fields_at);
    image.entries = (const om_textentry *)(const void *)(bytes + head->entries_at);
    image.slots = (const uint64_t *)(const void *)(bytes + head->slots_at);
    wrong = check_fields(&image);
    if (wrong != NULL) {
        return om_text_damaged(err, wrong);
    }
    om_textimage *kept = om_alloc_get(alloc, sizeof *kept, 64);
    if (kept == NULL) {
        return om_fail_memory(err, "a text index", sizeof *kept);
    }
    *kept = image;
    *out = kept;
    return OMEN_OK;
}

void om_textimage_free(om_textimage *image)
{
    if (image != NULL) {
        om_alloc_put(image->alloc, image, sizeof *image, 64);
    }
}

uint32_t om_textimage_rows(const om_textimage *image)
{
    return image->head->rows;
}

uint32_t om_textimage_worded(const om_textimage *image)
{
    return image->head->worded;
}

uint64_t om_textimage_terms(const om_textimage *image)
{
    return image->head->terms;
}

uint32_t om_textimage_field(const om_textimage *image, uint16_t field)
{
    uint32_t first = 0, end = image->head->fields;
    while (first < end) {
        const uint32_t middle = (first + end) / 2;
        if (image->fields[middle].field < field) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first < image->head->fields && image->fields[first].field == field ? first : UINT32_MAX;
}

bool om_textimage_word(const om_textimage *image, uint32_t term, const char **word,
                       uint32_t *length)
{
    const om_textentry *entry = &image->entries[term];
    const uint64_t at = entry->word & OM_TEXT_WORD_MAX;
    *length = om_textentry_length(entry);
    if (om_textentry_field(entry) >= image->head->fields || at > image->head->words_size ||
        *length > image->head->words_size - at || *length == 0 || *length > OM_MAX_WORD) {
        return false;
    }
    *word = image->words + at;
    return true;
}
