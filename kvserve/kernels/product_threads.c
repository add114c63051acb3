// Spreads a product over threads: tokens are rounded to bytes once, then each thread takes panels of
// sixteen rows, packs one unless it is kept packed, and uses it for all tokens.
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "product.h"

#define SERIAL_WORK 1500000  // multiply-adds, 10 µs; below, waking threads costs more
#define TURN_WORK 500000     // multiply-adds that a thread takes at a time

bool pm_supported(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

bool pm_engine_init(struct pm_engine *engine, int32_t threads) {
    memset(engine, 0, sizeof *engine);
    engine->threads = threads;
    engine->panels = calloc((size_t)threads, sizeof *engine->panels);
    return engine->panels != NULL;
}

void pm_engine_free(struct pm_engine *engine) {
    for (int32_t t = 0; engine->panels && t < engine->threads; t++) free(engine->panels[t]);
    free(engine->panels);
    free(engine->tiles);
    memset(engine, 0, sizeof *engine);
}

static void *grown(void *old, size_t bytes) {
    free(old);
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static bool fit_panels(struct pm_engine *engine, int32_t blocks) {
    size_t needed = (size_t)blocks * sizeof(struct pm_panel);
    if (needed <= engine->panel_bytes) return true;
    engine->panel_bytes = 0;
    for (int32_t t = 0; t < engine->threads; t++)
        if (!(engine->panels[t] = grown(engine->panels[t], needed))) return false;
    engine->panel_bytes = needed;
    return true;
}

static bool fit_tiles(struct pm_engine *engine, const struct pm_view *view) {
    size_t tiles = (size_t)(view->tokens + PM_TOKENS - 1) / PM_TOKENS;
    size_t needed = tiles * (size_t)view->blocks * sizeof(struct pm_tile);
    if (needed <= engine->tile_bytes) return true;
    engine->tile_bytes = 0;
    if (!(engine->tiles = grown(engine->tiles, needed))) return false;
    engine->tile_bytes = needed;
    return true;
}

// Makes room for a product, so that running it cannot fail.
bool pm_engine_prepare(struct pm_engine *engine, const struct pm_view *view) {
    int64_t work = view->rows * view->tokens * view->blocks * PM_BLOCK;
    engine->active = work < SERIAL_WORK ? 1 : engine->threads;
    return fit_panels(engine, view->blocks) && fit_tiles(engine, view);
}

#if defined(__x86_64__)

static void round_token(const struct pm_engine *engine, const struct pm_view *view, int64_t token) {
    struct pm_tile *tile = engine->tiles + token / PM_TOKENS * view->blocks;
    const float *x = (const float *)(view->x + (size_t)token * view->x_token);
    pm_quantize(x, view->blocks, tile, (int32_t)(token % PM_TOKENS));
}

static void run_panel(const struct pm_engine *engine, const struct pm_view *view, int64_t row,
                      struct pm_panel *own) {
    const struct pm_panel *panel = own;
    if (view->kept) {
        panel = view->kept + row / PM_ROWS * view->blocks;
    } else {
        const char *weights = view->weights + (size_t)row * view->weight_row;
        bool more = row + 2 * PM_ROWS <= view->rows;
        pm_pack(weights, view->weight_row, more ? weights + PM_ROWS * view->weight_row : NULL,
                view->blocks, own);
    }
    char *out = view->out + (size_t)row * sizeof(float);
    for (int64_t first = 0; first < view->tokens; first += PM_TOKENS) {
        int64_t left = view->tokens - first;
        pm_multiply(panel, engine->tiles + first / PM_TOKENS * view->blocks, view->blocks,
                    left < PM_TOKENS ? (int32_t)left : PM_TOKENS,
                    out + (size_t)first * view->out_token, view->out_token);
    }
}

// Computes the product that was prepared last.
void pm_engine_run(struct pm_engine *engine, const struct pm_view *view) {
    const int64_t fresh = view->rounded ? 0 : view->tokens;
    if (engine->active == 1) {
        for (int64_t token = 0; token < fresh; token++) round_token(engine, view, token);
        for (int64_t row = 0; row < view->rows; row += PM_ROWS)
            run_panel(engine, view, row, engine->panels[0]);
        return;
    }
    const int64_t panels = view->rows / PM_ROWS;
    const int64_t work = PM_ROWS * view->tokens * view->blocks * PM_BLOCK;
    const int turn = (int)(TURN_WORK / work) + 1;
#pragma omp parallel num_threads(engine->active)
    {
#pragma omp for schedule(static)
        for (int64_t token = 0; token < fresh; token++) round_token(engine, view, token);
#pragma omp for schedule(dynamic, turn) nowait
        for (int64_t p = 0; p < panels; p++)
            run_panel(engine, view, p * PM_ROWS, engine->panels[omp_get_thread_num()]);
    }
}

#else

void pm_engine_run(struct pm_engine *engine, const struct pm_view *view) {
    (void)engine, (void)view;  // pm_supported() says no
}

#endif
