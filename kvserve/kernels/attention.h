// Paged attention: what its parts share. Nothing here knows ggml; hook.c translates.
#ifndef KVSERVE_PAGED_H
#define KVSERVE_PAGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_BLOCK 32      // cells of a block: two AVX-512 vectors of scores, one 32-bit mask per row
#define PA_TILE_ROWS 32  // token rows of a tile at most: one bit each
#define PA_MAX_HEAD 256  // head size at most

enum pa_type { PA_F32, PA_F16, PA_Q8_0 };
enum pa_isa { PA_PLAIN, PA_AVX2, PA_AVX512 };

// Up to 32 cells that (almost) the same rows of a tile see.
struct pa_block {
    int32_t cells[PA_BLOCK];
    uint32_t sees[PA_TILE_ROWS];  // per row of the tile: the cells it sees, one bit each
    uint32_t rows;                // rows that see at least one
    int32_t count;
    bool full;                    // 32 cells, each seen by every row in `rows`
};

struct pa_tile {
    int32_t first_row, rows;
    int32_t first_block, blocks;
    int64_t cost;  // (row, block) pairs
};

// The cells of every row of one step, from its mask. Built once, used by every layer.
struct pa_plan {
    const void *mask;
    int64_t rows, cells;
    size_t stride;
    int32_t widest;  // rows of the largest tile
    bool usable;
    struct pa_tile *tiles;
    int32_t n_tiles, cap_tiles;
    struct pa_block *blocks;
    int32_t n_blocks, cap_blocks;
    uint32_t *seen;  // per cell: rows of the tile being built
    int64_t cap_seen;
};

// One attention node. Strides in bytes; q and out are F32.
struct pa_view {
    const char *q, *k, *v;
    char *out;
    size_t q_row, q_head, k_cell, k_head, v_cell, v_head, out_row, out_head;
    int32_t k_type, v_type;
    int32_t heads, kv_heads, k_size, v_size;
    float scale;
};

struct pa_heads {
    int32_t first, count;  // KV heads
};

// A thread's own memory for one tile; queries are (KV head, row, head of the group).
struct pa_scratch {
    float *q;        // [queries][k_size], scaled
    float *acc;      // [queries][v_size]
    float *peak;     // [queries] running maximum
    float *sum;      // [queries] running sum of exponentials
    float *scores;   // [queries][PA_BLOCK]
    float *k;        // [PA_BLOCK][k_size] or transposed
    float *v;        // [PA_BLOCK][v_size]
    int32_t *index;  // queries that take part in a block
    char *memory;
    size_t size;
};

// Attention of a tile over its blocks [begin, end), left in the scratch as a running softmax.
typedef void (*pa_kernel)(const struct pa_view *view, const struct pa_tile *tile,
                          const struct pa_block *blocks, int32_t begin, int32_t end,
                          struct pa_heads heads, struct pa_scratch *scratch);

void pa_kernel_plain(const struct pa_view *, const struct pa_tile *, const struct pa_block *,
                     int32_t, int32_t, struct pa_heads, struct pa_scratch *);
void pa_kernel_avx2(const struct pa_view *, const struct pa_tile *, const struct pa_block *,
                    int32_t, int32_t, struct pa_heads, struct pa_scratch *);
void pa_kernel_avx512(const struct pa_view *, const struct pa_tile *, const struct pa_block *,
                      int32_t, int32_t, struct pa_heads, struct pa_scratch *);

bool pa_plan_build(struct pa_plan *plan, const void *mask, size_t stride, int64_t rows,
                   int64_t cells, int32_t group);
void pa_plan_free(struct pa_plan *plan);

struct pa_engine {
    int32_t threads;
    pa_kernel kernel;
    struct pa_scratch *scratch;  // one per thread
    struct pa_item *items;
    int32_t n_items, cap_items;
    int32_t active;  // threads the prepared node is worth
    float *partials;
    size_t cap_partials;
};

bool pa_engine_init(struct pa_engine *engine, int32_t threads, enum pa_isa isa);
bool pa_engine_prepare(struct pa_engine *engine, const struct pa_plan *plan,
                       const struct pa_view *view);
void pa_engine_run(struct pa_engine *engine, const struct pa_plan *plan,
                   const struct pa_view *view);
void pa_engine_free(struct pa_engine *engine);

#endif
