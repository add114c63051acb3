// Keeps weight matrices packed between steps, where memory allows it.
#include <stdlib.h>
#include <string.h>

#include "product.h"

#define SLOTS 4096  // open addressing, at most half full: a model of 200 layers has about 1,500

void pm_store_allow(struct pm_store *store, size_t bytes) { store->room = bytes; }

void pm_store_free(struct pm_store *store) {
    for (int i = 0; store->slots && i < SLOTS; i++) free(store->slots[i].panels);
    free(store->slots);
    memset(store, 0, sizeof *store);
}

#if defined(__x86_64__)

static struct pm_kept *slot_of(struct pm_store *store, const char *weights) {
    uint64_t hash = (uint64_t)(uintptr_t)weights * 0x9E3779B97F4A7C15u;
    size_t i = hash >> 52;  // 12 bits
    while (store->slots[i].weights && store->slots[i].weights != weights) i = (i + 1) % SLOTS;
    return &store->slots[i];
}

static struct pm_panel *packed(const struct pm_view *view, size_t bytes) {
    struct pm_panel *panels = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    for (int64_t row = 0; panels && row < view->rows; row += PM_ROWS)
        pm_pack(view->weights + (size_t)row * view->weight_row, view->weight_row, NULL,
                view->blocks, panels + row / PM_ROWS * view->blocks);
    return panels;
}

// The packed copy of the view's weights; made at the first call; NULL where there is no room.
const struct pm_panel *pm_store_find(struct pm_store *store, const struct pm_view *view) {
    if (!store->room) return NULL;
    if (!store->slots && !(store->slots = calloc(SLOTS, sizeof *store->slots))) return NULL;
    struct pm_kept *slot = slot_of(store, view->weights);
    if (slot->weights) return slot->panels;
    size_t bytes = (size_t)(view->rows / PM_ROWS * view->blocks) * sizeof(struct pm_panel);
    if (store->used + bytes > store->room || 2 * store->count >= SLOTS) return NULL;
    if (!(slot->panels = packed(view, bytes))) return NULL;
    slot->weights = view->weights;
    store->used += bytes;
    store->count++;
    return slot->panels;
}

#else

const struct pm_panel *pm_store_find(struct pm_store *store, const struct pm_view *view) {
    (void)store, (void)view;
    return NULL;
}

#endif
