// Attention of a tile's queries over blocks of cells: online softmax, F32 throughout. Compiled once
// per instruction set with PA_NAME and PA_USE_*; every inner loop keeps eight or so accumulators.
#include "attention.h"
#include "simd.h"

#define FEW 4       // up to here K and V are read straight from the cache, else unpacked first
#define TRANSPOSE 24  // from here on K is transposed: no sums across lanes
#if VEC == 16
#define WIDE 4  // queries that share a loaded vector
#else
#define WIDE 2
#endif

INLINE vf load_as(const int type, const char *row, int i) {
    if (type == PA_F16) return v_half((const uint16_t *)row + i);
    return v_load((const float *)row + i);
}

static void unpack(int type, const char *row, int size, float *out) {
    if (type == PA_F16) {
        for (int i = 0; i < size; i += VEC) v_store(out + i, v_half((const uint16_t *)row + i));
    } else if (type == PA_Q8_0) {  // blocks of 32: an F16 scale and 32 bytes
        for (int i = 0; i < size; i += 32, row += 34) {
            uint16_t half;
            memcpy(&half, row, 2);
            vf scale = v_set(half_to_float(half));
            for (int j = 0; j < 32; j += VEC)
                v_store(out + i + j, v_bytes((const int8_t *)row + 2 + j) * scale);
        }
    } else {
        memcpy(out, row, (size_t)size * sizeof *out);
    }
}

// Scores of `n` queries against four cells.
INLINE void dots(const int n, const int type, const float *const *q, const char *const *k, int size,
                 float *const *out) {
    vf acc[4][4];
    for (int j = 0; j < n; j++)
        for (int c = 0; c < 4; c++) acc[j][c] = v_set(0);
    for (int i = 0; i < size; i += VEC) {
        vf key[4];
        for (int c = 0; c < 4; c++) key[c] = load_as(type, k[c], i);
        for (int j = 0; j < n; j++) {
            vf query = v_load(q[j] + i);
            for (int c = 0; c < 4; c++) acc[j][c] = v_fma(query, key[c], acc[j][c]);
        }
    }
    for (int j = 0; j < n; j++) v_sum4(acc[j][0], acc[j][1], acc[j][2], acc[j][3], out[j]);
}

INLINE void dots_of(const int type, int n, const float *const *q, const char *const *k, int size,
                    float *const *out) {
    switch (n) {
        case 1: dots(1, type, q, k, size, out); break;
        case 2: dots(2, type, q, k, size, out); break;
        case 3: dots(3, type, q, k, size, out); break;
        default: dots(4, type, q, k, size, out);
    }
}

// Scores of `n` queries against a block whose keys are transposed: [size][PA_BLOCK].
INLINE void scores_by_column(const int n, const float *const *q, const float *k, int size,
                             float *const *out) {
    enum { COLUMNS = PA_BLOCK / VEC };
    vf acc[4][COLUMNS];
    for (int j = 0; j < n; j++)
        for (int c = 0; c < COLUMNS; c++) acc[j][c] = v_set(0);
    for (int i = 0; i < size; i++, k += PA_BLOCK) {
        vf key[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) key[c] = v_load(k + c * VEC);
        for (int j = 0; j < n; j++) {
            vf query = v_set(q[j][i]);
            for (int c = 0; c < COLUMNS; c++) acc[j][c] = v_fma(query, key[c], acc[j][c]);
        }
    }
    for (int j = 0; j < n; j++)
        for (int c = 0; c < COLUMNS; c++) v_store(out[j] + c * VEC, acc[j][c]);
}

// Adds `count` values, weighted by each query's scores, to `n` accumulators, `m` vectors from `i` on.
INLINE void add_values(const int n, const int m, const int type, const char *const *v, int count,
                       const float *const *weights, float *const *acc, int i) {
    vf sum[4][4];
    for (int j = 0; j < n; j++)
        for (int d = 0; d < m; d++) sum[j][d] = v_load(acc[j] + i + d * VEC);
    for (int c = 0; c < count; c++) {
        vf value[4];
        for (int d = 0; d < m; d++) value[d] = load_as(type, v[c], i + d * VEC);
        for (int j = 0; j < n; j++) {
            vf weight = v_set(weights[j][c]);
            for (int d = 0; d < m; d++) sum[j][d] = v_fma(weight, value[d], sum[j][d]);
        }
    }
    for (int j = 0; j < n; j++)
        for (int d = 0; d < m; d++) v_store(acc[j] + i + d * VEC, sum[j][d]);
}

INLINE void add_rows(const int n, const int type, const char *const *v, int count, int size,
                     const float *const *weights, float *const *acc) {
    int i = 0;
    for (; i + 4 * VEC <= size; i += 4 * VEC) add_values(n, 4, type, v, count, weights, acc, i);
    for (; i + 2 * VEC <= size; i += 2 * VEC) add_values(n, 2, type, v, count, weights, acc, i);
    for (; i < size; i += VEC) add_values(n, 1, type, v, count, weights, acc, i);
}

INLINE void add_rows_of(const int type, int n, const char *const *v, int count, int size,
                        const float *const *weights, float *const *acc) {
    switch (n) {
        case 1: add_rows(1, type, v, count, size, weights, acc); break;
        case 2: add_rows(2, type, v, count, size, weights, acc); break;
#if WIDE > 2
        case 3: add_rows(3, type, v, count, size, weights, acc); break;
        default: add_rows(4, type, v, count, size, weights, acc);
#endif
    }
}

// Scores become weights e^(s - peak); sum and accumulator follow when the peak moves.
INLINE void soften(float *scores, uint32_t sees, float *peak, float *sum, float *acc, int size) {
    enum { PARTS = PA_BLOCK / VEC };
    vf part[PARTS], top = v_set(-INFINITY);
    for (int c = 0; c < PARTS; c++) {
        part[c] = v_load(scores + c * VEC);
        if (sees != UINT32_MAX) part[c] = v_only(part[c], sees >> (c * VEC));
        top = v_max(top, part[c]);
    }
    float highest = v_peak(top);
    if (highest > *peak) {
        if (*sum > 0) {
            float shrink = expf(*peak - highest);
            *sum *= shrink;
            for (int i = 0; i < size; i += VEC) v_store(acc + i, v_load(acc + i) * v_set(shrink));
        }
        *peak = highest;
    }
    vf total = v_set(0);
    for (int c = 0; c < PARTS; c++) {
        part[c] = v_exp(part[c] - v_set(*peak));
        total = total + part[c];
        v_store(scores + c * VEC, part[c]);
    }
    *sum += v_sum(total);
}

static int queries_of(uint32_t rows, int group, int32_t *index) {
    int n = 0;
    for (; rows; rows &= rows - 1)
        for (int g = 0; g < group; g++) index[n++] = __builtin_ctz(rows) * group + g;
    return n;
}

// The next block's cells, fetched into L2 a few at a time between computations, all heads of a cell
// in the order they lie in memory: head by head, 128 of 384 bytes, one core reads 7 GB/s of 23.
struct ahead {
    const struct pa_block *block;
    const char *k, *v;
    size_t k_cell, v_cell, k_bytes, v_bytes;
    int next, count, at_once;
};

static struct ahead look_ahead(const struct pa_view *view, const struct pa_block *block,
                               struct pa_heads heads) {
    const size_t bytes[] = {4, 2, 1};
    return (struct ahead){
        .block = block,
        .k = view->k + (size_t)heads.first * view->k_head,
        .v = view->v + (size_t)heads.first * view->v_head,
        .k_cell = view->k_cell,
        .v_cell = view->v_cell,
        .k_bytes = (heads.count - 1) * view->k_head + view->k_size * bytes[view->k_type],
        .v_bytes = (heads.count - 1) * view->v_head + view->v_size * bytes[view->v_type],
        .count = block ? block->count : 0,
        .at_once = 1 + 6 / heads.count,  // of 32 cells in 8 rounds per head
    };
}

INLINE void fetch(struct ahead *ahead) {
    for (int i = 0; i < ahead->at_once && ahead->next < ahead->count; i++) {
        size_t cell = (size_t)ahead->block->cells[ahead->next++];
        const char *k = ahead->k + cell * ahead->k_cell, *v = ahead->v + cell * ahead->v_cell;
        for (size_t b = 0; b < ahead->k_bytes; b += 64) __builtin_prefetch(k + b, 0, 2);
        for (size_t b = 0; b < ahead->v_bytes; b += 64) __builtin_prefetch(v + b, 0, 2);
    }
}

static void scores_of_block(const struct pa_view *view, const char **k, int count, int n,
                            struct ahead *ahead, struct pa_scratch *scratch) {
    const int size = view->k_size;
    int type = view->k_type;
    const float *q[4];
    float *out[4];
    if (n >= TRANSPOSE) {
        float row[PA_MAX_HEAD];
        for (int c = 0; c < PA_BLOCK; c++) {
            fetch(ahead);
            unpack(type, k[c < count ? c : count - 1], size, row);
            for (int i = 0; i < size; i++) scratch->k[i * PA_BLOCK + c] = row[i];
        }
        int j = 0;
        for (; j + WIDE <= n; j += WIDE) {
            for (int t = 0; t < WIDE; t++) {
                q[t] = scratch->q + (size_t)scratch->index[j + t] * size;
                out[t] = scratch->scores + (size_t)(j + t) * PA_BLOCK;
            }
            scores_by_column(WIDE, q, scratch->k, size, out);
        }
        for (; j < n; j++) {
            q[0] = scratch->q + (size_t)scratch->index[j] * size;
            out[0] = scratch->scores + (size_t)j * PA_BLOCK;
            scores_by_column(1, q, scratch->k, size, out);
        }
        return;
    }
    if (n > FEW || type == PA_Q8_0) {
        for (int c = 0; c < count; c++) {
            float *row = scratch->k + (size_t)c * size;
            unpack(type, k[c], size, row);
            k[c] = (const char *)row;
        }
        type = PA_F32;
    }
    for (int c = count; c < PA_BLOCK; c++) k[c] = k[count - 1];  // beyond the end: masked later
    for (int j = 0; j < n; j += WIDE) {
        int width = n - j < WIDE ? n - j : WIDE;
        for (int c = 0; c < count; c += 4) {
            fetch(ahead);
            for (int t = 0; t < width; t++) {
                q[t] = scratch->q + (size_t)scratch->index[j + t] * size;
                out[t] = scratch->scores + (size_t)(j + t) * PA_BLOCK + c;
            }
            if (type == PA_F16) dots_of(PA_F16, width, q, k + c, size, out);
            else dots_of(PA_F32, width, q, k + c, size, out);
        }
        for (int t = 0; t < width; t++)
            for (int c = (count + 3) & ~3; c < PA_BLOCK; c++)
                scratch->scores[(size_t)(j + t) * PA_BLOCK + c] = 0;
    }
}

static void values_of_block(const struct pa_view *view, const char **v, int count, int n,
                            struct pa_scratch *scratch) {
    const int size = view->v_size;
    int type = view->v_type;
    const float *weights[4];
    float *acc[4];
    if (n > WIDE || type == PA_Q8_0) {
        for (int c = 0; c < count; c++) {
            float *row = scratch->v + (size_t)c * size;
            unpack(type, v[c], size, row);
            v[c] = (const char *)row;
        }
        type = PA_F32;
    }
    for (int j = 0; j < n; j += WIDE) {
        int width = n - j < WIDE ? n - j : WIDE;
        for (int t = 0; t < width; t++) {
            weights[t] = scratch->scores + (size_t)(j + t) * PA_BLOCK;
            acc[t] = scratch->acc + (size_t)scratch->index[j + t] * size;
        }
        if (type == PA_F16) add_rows_of(PA_F16, width, v, count, size, weights, acc);
        else add_rows_of(PA_F32, width, v, count, size, weights, acc);
    }
}

static void load_queries(const struct pa_view *view, const struct pa_tile *tile, uint32_t wanted,
                         struct pa_heads heads, struct pa_scratch *scratch) {
    const int group = view->heads / view->kv_heads;
    const size_t queries = (size_t)heads.count * tile->rows * group;
    for (size_t i = 0; i < queries; i++) scratch->peak[i] = -INFINITY;
    memset(scratch->sum, 0, queries * sizeof(float));
    memset(scratch->acc, 0, queries * view->v_size * sizeof(float));
    float *to = scratch->q;
    for (int h = 0; h < heads.count; h++) {
        for (int i = 0; i < tile->rows * group; i++, to += view->k_size) {
            int row = i / group, head = (heads.first + h) * group + i % group;
            if (!(wanted >> row & 1)) continue;
            const float *from = (const float *)(view->q + (size_t)(tile->first_row + row) * view->q_row +
                                                (size_t)head * view->q_head);
            for (int d = 0; d < view->k_size; d++) to[d] = from[d] * view->scale;
        }
    }
}

void PA_NAME(const struct pa_view *view, const struct pa_tile *tile, const struct pa_block *blocks,
             int32_t begin, int32_t end, struct pa_heads heads, struct pa_scratch *scratch) {
    const int group = view->heads / view->kv_heads, queries = tile->rows * group;
    uint32_t wanted = 0, indexed = 0;
    for (int32_t b = begin; b < end; b++) wanted |= blocks[b].rows;
    load_queries(view, tile, wanted, heads, scratch);
    int n = 0;
    for (int32_t b = begin; b < end; b++) {
        const struct pa_block *block = &blocks[b];
        if (block->rows != indexed) n = queries_of(indexed = block->rows, group, scratch->index);
        struct ahead ahead = look_ahead(view, b + 1 < end ? block + 1 : NULL, heads);
        for (int h = 0; h < heads.count; h++) {
            struct pa_scratch own = *scratch;  // this head's part
            own.q += (size_t)h * queries * view->k_size;
            own.acc += (size_t)h * queries * view->v_size;
            own.peak += h * queries;
            own.sum += h * queries;
            const char *k[PA_BLOCK], *v[PA_BLOCK];
            const char *first_k = view->k + (size_t)(heads.first + h) * view->k_head;
            const char *first_v = view->v + (size_t)(heads.first + h) * view->v_head;
            for (int c = 0; c < block->count; c++) {
                size_t cell = (size_t)block->cells[c];
                k[c] = first_k + cell * view->k_cell;
                v[c] = first_v + cell * view->v_cell;
            }
            scores_of_block(view, k, block->count, n, &ahead, &own);
            for (int j = 0; j < n; j++) {
                int query = own.index[j];
                uint32_t sees = block->full ? UINT32_MAX : block->sees[query / group];
                soften(own.scores + (size_t)j * PA_BLOCK, sees, &own.peak[query], &own.sum[query],
                       own.acc + (size_t)query * view->v_size, view->v_size);
            }
            values_of_block(view, v, block->count, n, &own);
        }
    }
}
