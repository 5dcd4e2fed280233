/* store_manifest.h - a sample manifest and its files on a simulated disk, and changes that keep the checksums
 * right. SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H
#include "manifest_int.h"
#include "sim_disk.h"

#define SAMPLE_FOLDER "/db"
enum { SAMPLE_COLLECTIONS = 3, SAMPLE_NEXT_SEGMENT = 40, SAMPLE_NEXT_SERIAL = 12 };

typedef struct manifest_sample {
    om_manifest m;
    om_manifest_collection collections[SAMPLE_COLLECTIONS];
    om_manifest_segment segments[4];
} manifest_sample;
/* Collections "alpha" (serial 3, segments 7 and 9), "beta-2" (11, none), "gamma_3" (5, segments 8 and 20);
 * segments 9 and 20 have deaths of generation 2; cursors of generation 2.
 * It points into itself: free nothing. */
void manifest_sample_make(manifest_sample *sample, uint64_t generation);
void manifest_assert_equal(const om_manifest *a, const om_manifest *b);
/* Makes both checksums right again. */
void manifest_reseal(uint8_t *bytes, size_t size);
/* The folder with all files that the sample names; fills in sizes and checksums of its segments. */
void manifest_sample_files(const om_io *io, manifest_sample *sample);
void manifest_sample_write(const om_io *io, const manifest_sample *sample);

/* Small things that every test of files wants. */
void file_put(const om_io *io, const char *path, const void *bytes, size_t size);
uint8_t *file_get(const om_io *io, const char *path, size_t *size); /* malloc */
bool file_exists(const om_io *io, const char *path);
uint32_t folder_count(const om_io *io, const char *path);
/* Sweeps what is below next_segment of the manifest. */
static inline omen_status_t sweep_with(const om_io *io, const om_alloc *alloc, const char *folder,
                                       const om_manifest *m, omen_error *err)
{
    const om_sweeping what = {.folder = folder, .current = m, .segments_below = m->next_segment};
    return om_sweep(io, alloc, &what, err);
}
#endif
