// Spreads a step's tiles over threads: (tile, KV heads, part of its blocks) is one piece of work.
// Where many queries share a block, a piece has one head and its keys stay in the L1 cache; where
// few do, memory is the limit and a piece takes all heads, to read cells as they lie.
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"

#define SERIAL_WORK 1500000  // multiply-adds of a node, 60 µs; below, waking threads costs more
#define PIECES 4            // per thread, so that uneven pieces balance
#define ONE_HEAD_FROM 24    // queries per block from which a piece has one head
#define SMALLEST_PIECE 24   // (row, block, head) triples: below this, merging costs more than it saves

struct pa_item {
    int32_t tile, begin, end;
    struct pa_heads heads;
    int64_t partial;  // offset of its partial result, or -1: writes the output itself
};

static bool select_kernel(struct pa_engine *engine, enum pa_isa isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa == PA_AVX512) {
        engine->kernel = pa_kernel_avx512;
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    if (isa == PA_AVX2) {
        engine->kernel = pa_kernel_avx2;
        // F16C has no name of its own in older compilers; every CPU with AVX2 and FMA has it
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
#endif
    engine->kernel = pa_kernel_plain;
    return isa == PA_PLAIN;
}

// False: this CPU lacks the instruction set, or no memory.
bool pa_engine_init(struct pa_engine *engine, int32_t threads, enum pa_isa isa) {
    memset(engine, 0, sizeof *engine);
    if (!select_kernel(engine, isa) || threads < 1) return false;
    engine->threads = threads;
    engine->scratch = calloc((size_t)threads, sizeof *engine->scratch);
    return engine->scratch != NULL;
}

void pa_engine_free(struct pa_engine *engine) {
    for (int32_t t = 0; engine->scratch && t < engine->threads; t++)
        free(engine->scratch[t].memory);
    free(engine->scratch);
    free(engine->items);
    free(engine->partials);
    memset(engine, 0, sizeof *engine);
}

// Room for `rows` rows and all their heads.
static bool fit_scratch(struct pa_scratch *scratch, const struct pa_view *view, int32_t rows) {
    size_t queries = (size_t)rows * view->heads;
    size_t q = queries * view->k_size, acc = queries * view->v_size;
    size_t k = (size_t)PA_BLOCK * view->k_size, v = (size_t)PA_BLOCK * view->v_size;
    size_t scores = queries * PA_BLOCK, n = (queries + 15) & ~(size_t)15;
    size_t needed = (q + acc + k + v + scores + 3 * n) * sizeof(float) + 64;
    if (needed > scratch->size) {
        free(scratch->memory);
        scratch->size = 0;
        if (!(scratch->memory = malloc(needed))) return false;
        scratch->size = needed;
    }
    float *at = (float *)(((uintptr_t)scratch->memory + 63) & ~(uintptr_t)63);
    scratch->k = at, at += k;
    scratch->v = at, at += v;
    scratch->scores = at, at += scores;
    scratch->q = at, at += q;
    scratch->acc = at, at += acc;
    scratch->peak = at, at += n;
    scratch->sum = at, at += n;
    scratch->index = (int32_t *)at;
    return true;
}

// Query number within an item: (KV head, row, head of the group).
static float *out_of(const struct pa_view *view, const struct pa_tile *tile,
                     const struct pa_item *item, int32_t query) {
    int32_t group = view->heads / view->kv_heads, per_head = tile->rows * group;
    int32_t head = (item->heads.first + query / per_head) * group + query % group;
    int64_t row = tile->first_row + query % per_head / group;
    return (float *)(view->out + (size_t)row * view->out_row + (size_t)head * view->out_head);
}

static int32_t queries_in(const struct pa_view *view, const struct pa_tile *tile,
                          const struct pa_item *item) {
    return item->heads.count * tile->rows * (view->heads / view->kv_heads);
}

static void write_output(const struct pa_view *view, const struct pa_tile *tile,
                         const struct pa_item *item, const struct pa_scratch *scratch) {
    for (int32_t query = 0; query < queries_in(view, tile, item); query++) {
        float *to = out_of(view, tile, item, query);
        const float *from = scratch->acc + (size_t)query * view->v_size;
        float sum = scratch->sum[query], by = sum > 0 ? 1 / sum : 0;
        for (int32_t i = 0; i < view->v_size; i++) to[i] = from[i] * by;
    }
}

// A partial result: per query its peak, its sum and its accumulator.
static void write_partial(float *to, const struct pa_view *view, int32_t queries,
                          const struct pa_scratch *scratch) {
    size_t bytes = (size_t)queries * sizeof *to;
    memcpy(to, scratch->peak, bytes);
    memcpy(to + queries, scratch->sum, bytes);
    memcpy(to + 2 * queries, scratch->acc, bytes * (size_t)view->v_size);
}

static void merge(const struct pa_engine *engine, const struct pa_plan *plan,
                  const struct pa_view *view, int32_t first, int32_t pieces) {
    const struct pa_item *item = &engine->items[first];
    const struct pa_tile *tile = &plan->tiles[item->tile];
    int32_t queries = queries_in(view, tile, item);
    size_t stride = (size_t)queries * (size_t)(view->v_size + 2);
    const float *partials = engine->partials + item->partial;
    for (int32_t query = 0; query < queries; query++) {
        float *to = out_of(view, tile, item, query);
        float peak = -INFINITY, sum = 0;
        for (int32_t p = 0; p < pieces; p++) {
            float other = partials[p * stride + query];
            if (other > peak) peak = other;
        }
        memset(to, 0, (size_t)view->v_size * sizeof *to);
        for (int32_t p = 0; p < pieces; p++) {
            const float *part = partials + p * stride;
            if (part[queries + query] <= 0) continue;
            float by = expf(part[query] - peak);
            const float *from = part + 2 * queries + (size_t)query * view->v_size;
            sum += part[queries + query] * by;
            for (int32_t i = 0; i < view->v_size; i++) to[i] += from[i] * by;
        }
        float by = sum > 0 ? 1 / sum : 0;
        for (int32_t i = 0; i < view->v_size; i++) to[i] *= by;
    }
}

// Cuts the tiles into pieces; returns how many, or -1 without memory.
static int32_t cut(struct pa_engine *engine, const struct pa_plan *plan, const struct pa_view *view,
                   int32_t threads, int64_t total) {
    int64_t size = total / ((int64_t)threads * PIECES) + 1;
    int32_t n = 0, group = view->heads / view->kv_heads;
    size_t partials = 0;
    if (threads == 1) size = total + 1;
    if (size < SMALLEST_PIECE) size = SMALLEST_PIECE;
    for (int32_t t = 0; t < plan->n_tiles; t++) {
        const struct pa_tile *tile = &plan->tiles[t];
        bool alone = tile->cost * group >= (int64_t)tile->blocks * ONE_HEAD_FROM;
        int32_t heads = alone ? 1 : view->kv_heads;
        int64_t pieces = (tile->cost * heads + size - 1) / size;
        if (pieces > tile->blocks) pieces = tile->blocks;
        if (pieces < 1) pieces = 1;
        int32_t needed = n + (int32_t)pieces * (view->kv_heads / heads);
        if (needed > engine->cap_items) {
            struct pa_item *items = realloc(engine->items, (size_t)needed * 2 * sizeof *items);
            if (!items) return -1;
            engine->items = items;
            engine->cap_items = needed * 2;
        }
        for (int32_t head = 0; head < view->kv_heads; head += heads) {
            for (int64_t p = 0; p < pieces; p++) {
                struct pa_item *item = &engine->items[n++];
                item->tile = t;
                item->heads = (struct pa_heads){head, heads};
                item->begin = tile->first_block + (int32_t)(tile->blocks * p / pieces);
                item->end = tile->first_block + (int32_t)(tile->blocks * (p + 1) / pieces);
                item->partial = -1;
                if (pieces == 1) continue;
                item->partial = (int64_t)partials;
                partials += (size_t)queries_in(view, tile, item) * (size_t)(view->v_size + 2);
            }
        }
    }
    if (partials > engine->cap_partials) {
        float *grown = realloc(engine->partials, partials * 2 * sizeof *grown);
        if (!grown) return -1;
        engine->partials = grown;
        engine->cap_partials = partials * 2;
    }
    return n;
}

static void run_item(struct pa_engine *engine, const struct pa_plan *plan,
                     const struct pa_view *view, const struct pa_item *item, int32_t thread) {
    const struct pa_tile *tile = &plan->tiles[item->tile];
    struct pa_scratch *scratch = &engine->scratch[thread];
    engine->kernel(view, tile, plan->blocks, item->begin, item->end, item->heads, scratch);
    if (item->partial < 0) write_output(view, tile, item, scratch);
    else write_partial(engine->partials + item->partial, view, queries_in(view, tile, item), scratch);
}

// The pieces of one tile and its heads follow each other; the first of them leads the merge.
static int32_t pieces_led(const struct pa_engine *engine, int32_t n, int32_t i) {
    const struct pa_item *item = &engine->items[i];
    if (item->partial < 0) return 0;
    if (i && item[-1].tile == item->tile && item[-1].heads.first == item->heads.first) return 0;
    int32_t pieces = 1;
    while (i + pieces < n && item[pieces].tile == item->tile && item[pieces].heads.first == item->heads.first)
        pieces++;
    return pieces;
}

// Cuts a node into pieces and makes room for them, so that running it cannot fail.
bool pa_engine_prepare(struct pa_engine *engine, const struct pa_plan *plan,
                       const struct pa_view *view) {
    int32_t group = view->heads / view->kv_heads;
    int64_t total = 0;
    for (int32_t t = 0; t < plan->n_tiles; t++) total += plan->tiles[t].cost;
    total *= view->kv_heads;
    int64_t work = total * PA_BLOCK * group * (view->k_size + view->v_size);
    engine->active = work < SERIAL_WORK ? 1 : engine->threads;
    for (int32_t t = 0; t < engine->active; t++)
        if (!fit_scratch(&engine->scratch[t], view, plan->widest)) return false;
    engine->n_items = cut(engine, plan, view, engine->active, total);
    return engine->n_items >= 0;
}

// Computes the node that was prepared last.
void pa_engine_run(struct pa_engine *engine, const struct pa_plan *plan,
                   const struct pa_view *view) {
    int32_t n = engine->n_items;
    if (engine->active == 1) {
        for (int32_t i = 0; i < n; i++) run_item(engine, plan, view, &engine->items[i], 0);
        return;  // one piece per tile and head: nothing to merge
    }
#pragma omp parallel num_threads(engine->active)
    {
#pragma omp for schedule(dynamic, 1)
        for (int32_t i = 0; i < n; i++)
            run_item(engine, plan, view, &engine->items[i], omp_get_thread_num());
#pragma omp for schedule(dynamic, 1)
        for (int32_t i = 0; i < n; i++) {
            int32_t pieces = pieces_led(engine, n, i);
            if (pieces) merge(engine, plan, view, i, pieces);
        }
    }
}
