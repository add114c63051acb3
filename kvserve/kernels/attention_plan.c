// From a step's mask to tiles of rows and blocks of cells.
#include <stdlib.h>
#include <string.h>

#include "attention.h"

#define HIDDEN 0xFC00u  // F16 -inf
#define HIDDEN4 0xFC00FC00FC00FC00ull
#define OPEN_SHARED 8   // unfinished blocks seen by several rows

static bool grow(void **memory, int32_t *capacity, int32_t needed, size_t size) {
    if (needed <= *capacity) return true;
    int32_t wanted = needed + needed / 2 + 64;
    void *grown = realloc(*memory, (size_t)wanted * size);
    if (!grown) return false;
    *memory = grown;
    *capacity = wanted;
    return true;
}

// Marks the row's cells with `bit`; false: the mask adds a bias, which this kernel does not do.
static bool mark_row(const uint16_t *mask, int64_t cells, uint32_t bit, uint32_t *seen) {
    int64_t c = 0;
    for (; c + 4 <= cells; c += 4) {
        uint64_t four;
        memcpy(&four, mask + c, 8);
        if (four == HIDDEN4) continue;
        for (int i = 0; i < 4; i++) {
            uint16_t value = mask[c + i];
            if (value == HIDDEN) continue;
            if (value & 0x7FFF) return false;
            seen[c + i] |= bit;
        }
    }
    for (; c < cells; c++) {
        if (mask[c] == HIDDEN) continue;
        if (mask[c] & 0x7FFF) return false;
        seen[c] |= bit;
    }
    return true;
}

static int32_t new_block(struct pa_plan *plan) {
    if (!grow((void **)&plan->blocks, &plan->cap_blocks, plan->n_blocks + 1,
              sizeof(struct pa_block)))
        return -1;
    struct pa_block *block = &plan->blocks[plan->n_blocks];
    memset(block, 0, sizeof *block);
    return plan->n_blocks++;
}

static void append(struct pa_block *block, int32_t cell, uint32_t rows) {
    uint32_t bit = 1u << block->count;
    block->cells[block->count++] = cell;
    block->rows |= rows;
    for (uint32_t left = rows; left; left &= left - 1) block->sees[__builtin_ctz(left)] |= bit;
}

// Row-cell pairs that would be computed for nothing if a cell seen by `rows` joined the block.
static int32_t waste(const struct pa_block *block, uint32_t rows) {
    return __builtin_popcount(block->rows & ~rows) +
           block->count * __builtin_popcount(rows & ~block->rows);
}

static void finish(struct pa_block *block) {
    block->full = block->count == PA_BLOCK;
    for (uint32_t left = block->rows; left && block->full; left &= left - 1)
        block->full = block->sees[__builtin_ctz(left)] == UINT32_MAX;
}

// Cells that the same rows see go into the same blocks: a decode row has blocks of its own, a shared
// prefix is read once for all its readers, a prefill chunk shares everything but its own triangle.
static bool build_tile(struct pa_plan *plan, struct pa_tile *tile) {
    int32_t own[PA_TILE_ROWS], shared[OPEN_SHARED], oldest = 0;
    for (int i = 0; i < PA_TILE_ROWS; i++) own[i] = -1;
    for (int i = 0; i < OPEN_SHARED; i++) shared[i] = -1;
    tile->first_block = plan->n_blocks;
    for (int64_t cell = 0; cell < plan->cells; cell++) {
        uint32_t rows = plan->seen[cell];
        if (!rows) continue;
        int32_t *slot = NULL;
        if (!(rows & (rows - 1))) {
            slot = &own[__builtin_ctz(rows)];
        } else {
            int32_t least = __builtin_popcount(rows) / 2 + 1;  // joining beyond this costs more
            for (int i = 0; i < OPEN_SHARED && least; i++) {
                if (shared[i] < 0) continue;
                int32_t lost = waste(&plan->blocks[shared[i]], rows);
                if (lost < least) least = lost, slot = &shared[i];
            }
            if (!slot) {
                for (int i = 0; i < OPEN_SHARED && !slot; i++)
                    if (shared[i] < 0) slot = &shared[i];
                if (!slot) {
                    slot = &shared[oldest++ % OPEN_SHARED];
                    *slot = -1;
                }
            }
        }
        if (*slot < 0 && (*slot = new_block(plan)) < 0) return false;
        struct pa_block *block = &plan->blocks[*slot];
        append(block, (int32_t)cell, rows);
        if (block->count == PA_BLOCK) *slot = -1;
    }
    tile->blocks = plan->n_blocks - tile->first_block;
    tile->cost = 0;
    for (int32_t b = tile->first_block; b < plan->n_blocks; b++) {
        finish(&plan->blocks[b]);
        tile->cost += __builtin_popcount(plan->blocks[b].rows);
    }
    return true;
}

// `group`: query heads per KV head. False: out of memory or a mask with biases.
bool pa_plan_build(struct pa_plan *plan, const void *mask, size_t stride, int64_t rows,
                   int64_t cells, int32_t group) {
    int32_t tile_rows = 128 / group;
    if (tile_rows > PA_TILE_ROWS) tile_rows = PA_TILE_ROWS;
    if (tile_rows < 4) tile_rows = 4;
    plan->mask = mask;
    plan->stride = stride;
    plan->rows = rows;
    plan->cells = cells;
    plan->widest = (int32_t)(rows < tile_rows ? rows : tile_rows);
    plan->usable = false;
    plan->n_blocks = plan->n_tiles = 0;
    if (cells > plan->cap_seen) {
        uint32_t *seen = realloc(plan->seen, (size_t)cells * sizeof *seen);
        if (!seen) return false;
        plan->seen = seen;
        plan->cap_seen = cells;
    }
    int32_t tiles = (int32_t)((rows + tile_rows - 1) / tile_rows);
    if (!grow((void **)&plan->tiles, &plan->cap_tiles, tiles, sizeof(struct pa_tile)))
        return false;
    for (int64_t row = 0; row < rows; row += tile_rows) {
        struct pa_tile *tile = &plan->tiles[plan->n_tiles++];
        tile->first_row = (int32_t)row;
        tile->rows = (int32_t)(rows - row < tile_rows ? rows - row : tile_rows);
        memset(plan->seen, 0, (size_t)cells * sizeof *plan->seen);
        for (int32_t i = 0; i < tile->rows; i++) {
            const char *line = (const char *)mask + (size_t)(row + i) * stride;
            if (!mark_row((const uint16_t *)line, cells, 1u << i, plan->seen)) return false;
        }
        if (!build_tile(plan, tile)) return false;
    }
    plan->usable = true;
    return true;
}

void pa_plan_free(struct pa_plan *plan) {
    free(plan->tiles);
    free(plan->blocks);
    free(plan->seen);
    memset(plan, 0, sizeof *plan);
}
