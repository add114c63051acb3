// Matrix products of Q8_0 weights with many tokens, packed once or on the way. Nothing here knows ggml.
#ifndef KVSERVE_PRODUCT_H
#define KVSERVE_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PM_BLOCK 32         // Q8_0: weights that share a scale
#define PM_BLOCK_BYTES 34   // an F16 scale and 32 bytes
#define PM_ROWS 16          // rows of weights of a panel: one vector of 32-bit lanes
#define PM_TOKENS 8         // tokens of a tile: as many sums as fit registers
#define PM_GROUPS 8         // of four weights: what one dot-product instruction adds

struct pm_panel;

// One product: out[token][row] = sum of weight[row][i] * x[token][i]. Strides in bytes.
struct pm_view {
    const char *weights, *x;
    char *out;
    size_t weight_row, x_token, out_token;
    int64_t rows, tokens;
    int32_t blocks;  // of a row of weights
    const struct pm_panel *kept;  // the same weights packed before, or NULL
    bool rounded;                 // x is what the last product rounded
};

// A block of eight tokens as signed bytes, four at a time beside those of the other tokens.
struct pm_tile {
    int32_t quads[PM_GROUPS][PM_TOKENS];
    float scale[PM_TOKENS];
    int32_t shift[PM_TOKENS];  // -128 * sum: takes back that weights are stored 128 too high
};

// A block of sixteen rows of weights as unsigned bytes, four at a time beside those of other rows.
struct pm_panel {
    uint8_t quads[PM_GROUPS][4 * PM_ROWS];
    float scale[PM_ROWS];
};

// The kernel: AVX-512 VNNI. `next` is what will be packed after it, or NULL.
void pm_quantize(const float *x, int32_t blocks, struct pm_tile *tile, int32_t token);
void pm_pack(const char *weights, size_t row, const char *next, int32_t blocks,
             struct pm_panel *panel);
void pm_multiply(const struct pm_panel *panel, const struct pm_tile *tile, int32_t blocks,
                 int32_t tokens, char *out, size_t out_token);

// Packed copies of weight matrices, found by where the weights lie; made until the room is used up.
struct pm_store {
    struct pm_kept {
        const char *weights;
        struct pm_panel *panels;
    } *slots;
    size_t room, used;  // bytes
    int32_t count;
};

void pm_store_allow(struct pm_store *store, size_t bytes);
const struct pm_panel *pm_store_find(struct pm_store *store, const struct pm_view *view);
void pm_store_free(struct pm_store *store);

struct pm_engine {
    int32_t threads, active;
    struct pm_tile *tiles;
    size_t tile_bytes;
    struct pm_panel **panels;  // one per thread
    size_t panel_bytes;
};

bool pm_supported(void);
bool pm_engine_init(struct pm_engine *engine, int32_t threads);
bool pm_engine_prepare(struct pm_engine *engine, const struct pm_view *view);
void pm_engine_run(struct pm_engine *engine, const struct pm_view *view);
void pm_engine_free(struct pm_engine *engine);

#endif
