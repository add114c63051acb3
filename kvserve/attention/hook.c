// Under llama.cpp: takes GGML_OP_FLASH_ATTN_EXT nodes over from the stock kernel through cb_eval.
//
// Before a node runs (`ask`), an eligible one loses GGML_TENSOR_FLAG_COMPUTE, so ggml skips it, and
// the answer "needed" makes ggml stop behind it; then the node is computed here. Whatever is not
// eligible keeps its flag (or gets it back) and stays ggml's. Compiled against the ggml.h of the
// installed llama-cpp-python; layout.py proves at load that the library agrees with it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ggml.h"
#include "paged.h"

#define API __attribute__((visibility("default")))
#define TAKEN 0x50414745  // in the last op parameter: the flag was cleared here
#define TAKEN_AT (GGML_MAX_OP_PARAMS / (int)sizeof(int32_t) - 1)
#define PLANS 4           // different masks of one step: full and sliding window, with room to spare

typedef bool (*is_host_fn)(struct ggml_backend_buffer *buffer);

enum reason { TAKES, BIAS, SINKS, TYPES, SHAPE, MASK, DEVICE, CACHE, MEMORY };

struct pa_stats {
    int64_t paged, stock;     // nodes
    int64_t nanoseconds;      // in paged nodes
    int64_t plan_nanoseconds; // in reading masks
    int32_t reason;           // of the last node left to the stock kernel
    int32_t last_stock_layer;
};

struct pa_hook {
    struct pa_engine engine;
    struct pa_plan plans[PLANS];
    int32_t used_plans, last_layer, group_of[PLANS];
    bool enabled;
    is_host_fn is_host;
    const struct pa_plan *plan;  // of the node that was asked for last
    struct pa_view view;
    struct pa_stats stats;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

API int32_t pa_best_isa(void) {
    for (int32_t isa = PA_AVX512; isa > PA_PLAIN; isa--) {
        struct pa_engine engine;
        bool works = pa_engine_init(&engine, 1, (enum pa_isa)isa);
        pa_engine_free(&engine);
        if (works) return isa;
    }
    return PA_PLAIN;
}

API struct pa_hook *pa_new(int32_t threads, int32_t isa, is_host_fn is_host) {
    struct pa_hook *hook = calloc(1, sizeof *hook);
    if (hook && !pa_engine_init(&hook->engine, threads, (enum pa_isa)isa)) {
        pa_engine_free(&hook->engine);
        free(hook);
        return NULL;
    }
    if (hook) hook->is_host = is_host, hook->enabled = true, hook->last_layer = -1;
    return hook;
}

API void pa_free(struct pa_hook *hook) {
    for (int i = 0; i < PLANS; i++) pa_plan_free(&hook->plans[i]);
    pa_engine_free(&hook->engine);
    free(hook);
}

API void pa_enable(struct pa_hook *hook, bool enabled) { hook->enabled = enabled; }
API void pa_read_stats(const struct pa_hook *hook, struct pa_stats *out) { *out = hook->stats; }

static const struct ggml_tensor *root_of(const struct ggml_tensor *t) {
    return t->view_src ? t->view_src : t;
}

static bool on_host(const struct pa_hook *hook, const struct ggml_tensor *t) {
    struct ggml_backend_buffer *buffer = root_of(t)->buffer;
    return buffer && t->data && (!hook->is_host || hook->is_host(buffer));
}

// llama.cpp casts F32 caches to F16 before the node; the original is there and better.
static const struct ggml_tensor *uncast(const struct ggml_tensor *t) {
    if (t->op == GGML_OP_CPY && t->type == GGML_TYPE_F16 && t->src[0]->type == GGML_TYPE_F32)
        return t->src[0];
    return t;
}

static int32_t kind_of(enum ggml_type type) {
    switch (type) {
        case GGML_TYPE_F32: return PA_F32;
        case GGML_TYPE_F16: return PA_F16;
        case GGML_TYPE_Q8_0: return PA_Q8_0;
        default: return -1;
    }
}

static const size_t element_bytes[] = {4, 2, 34};  // Q8_0: of a block of 32

static bool size_fits(int64_t size, int32_t kind) {
    return size >= 16 && size <= PA_MAX_HEAD && size % (kind == PA_Q8_0 ? 32 : 16) == 0;
}

// What the node asks for, without its mask.
static enum reason read_view(const struct ggml_tensor *t, struct pa_view *view) {
    const struct ggml_tensor *q = t->src[0], *k = uncast(t->src[1]), *v = uncast(t->src[2]);
    float params[3];
    memcpy(params, t->op_params, sizeof params);  // scale, ALiBi bias, logit soft cap
    if (params[1] != 0 || params[2] != 0) return BIAS;
    if (t->src[4]) return SINKS;
    view->k_type = kind_of(k->type);
    view->v_type = kind_of(v->type);
    if (q->type != GGML_TYPE_F32 || t->type != GGML_TYPE_F32 || view->k_type < 0 || view->v_type < 0)
        return TYPES;
    if (!size_fits(k->ne[0], view->k_type) || !size_fits(v->ne[0], view->v_type)) return SHAPE;
    if (q->ne[0] != k->ne[0] || t->ne[0] != v->ne[0] || k->ne[1] != v->ne[1]) return SHAPE;
    if (q->ne[3] != 1 || k->ne[3] != 1 || v->ne[3] != 1 || k->ne[2] != v->ne[2]) return SHAPE;
    if (q->ne[2] % k->ne[2] || q->nb[0] != 4 || t->nb[0] != 4) return SHAPE;
    if (k->nb[0] != element_bytes[view->k_type] || v->nb[0] != element_bytes[view->v_type])
        return SHAPE;
    view->q = q->data, view->k = k->data, view->v = v->data, view->out = t->data;
    view->q_row = q->nb[1], view->q_head = q->nb[2];
    view->k_cell = k->nb[1], view->k_head = k->nb[2];
    view->v_cell = v->nb[1], view->v_head = v->nb[2];
    view->out_head = t->nb[1], view->out_row = t->nb[2];
    view->heads = (int32_t)q->ne[2], view->kv_heads = (int32_t)k->ne[2];
    view->k_size = (int32_t)k->ne[0], view->v_size = (int32_t)v->ne[0];
    view->scale = params[0];
    return TAKES;
}

// Layers of a step come in rising order, so a layer that does not rise starts a new step.
static bool note_layer(struct pa_hook *hook, const struct ggml_tensor *k) {
    int layer;
    if (sscanf(root_of(uncast(k))->name, "cache_k_l%d", &layer) != 1) return false;
    if (layer <= hook->last_layer) hook->used_plans = 0;
    hook->last_layer = layer;
    return true;
}

static enum reason find_plan(struct pa_hook *hook, const struct ggml_tensor *mask, int64_t rows,
                             int64_t cells, int32_t group) {
    if (!mask || mask->type != GGML_TYPE_F16 || mask->op != GGML_OP_NONE || mask->ne[0] != cells ||
        mask->ne[1] < rows || mask->ne[2] != 1 || mask->ne[3] != 1 || mask->nb[0] != 2)
        return MASK;
    for (int32_t i = 0; i < hook->used_plans; i++) {
        struct pa_plan *plan = &hook->plans[i];
        if (plan->mask != mask->data || plan->rows != rows || plan->cells != cells ||
            hook->group_of[i] != group)
            continue;
        hook->plan = plan;
        return plan->usable ? TAKES : MASK;
    }
    if (hook->used_plans == PLANS) hook->used_plans = 0;
    int32_t at = hook->used_plans++;
    int64_t began = now_ns();
    hook->plan = &hook->plans[at];
    hook->group_of[at] = group;
    bool built = pa_plan_build(&hook->plans[at], mask->data, mask->nb[1], rows, cells, group);
    hook->stats.plan_nanoseconds += now_ns() - began;
    return built ? TAKES : MASK;
}

static enum reason prepare(struct pa_hook *hook, const struct ggml_tensor *t) {
    const struct ggml_tensor *q = t->src[0], *k = t->src[1], *mask = t->src[3];
    enum reason why = read_view(t, &hook->view);
    if (why != TAKES) return why;
    if (!note_layer(hook, k)) return CACHE;
    if (!on_host(hook, t) || !on_host(hook, q) || !on_host(hook, uncast(k)) ||
        !on_host(hook, uncast(t->src[2])) || (mask && !on_host(hook, mask)))
        return DEVICE;
    why = find_plan(hook, mask, q->ne[1], k->ne[1], (int32_t)(q->ne[2] / k->ne[2]));
    if (why != TAKES) return why;
    return pa_engine_prepare(&hook->engine, hook->plan, &hook->view) ? TAKES : MEMORY;
}

static void give_back(struct ggml_tensor *t) {
    if (t->op_params[TAKEN_AT] != TAKEN) return;
    t->op_params[TAKEN_AT] = 0;
    t->flags |= GGML_TENSOR_FLAG_COMPUTE;
}

// The ggml_backend_sched_eval_callback; `user_data` is the hook.
API bool pa_callback(struct ggml_tensor *t, bool ask, void *user_data) {
    struct pa_hook *hook = user_data;
    if (t->op != GGML_OP_FLASH_ATTN_EXT) return !ask;
    if (!ask) {
        int64_t began = now_ns();
        pa_engine_run(&hook->engine, hook->plan, &hook->view);
        hook->stats.nanoseconds += now_ns() - began;
        hook->stats.paged++;
        return true;
    }
    give_back(t);
    if (!hook->enabled || !(t->flags & GGML_TENSOR_FLAG_COMPUTE)) return false;
    enum reason why = prepare(hook, t);
    if (why != TAKES) {
        hook->stats.stock++;
        hook->stats.reason = why;
        hook->stats.last_stock_layer = hook->last_layer;
        return false;
    }
    t->op_params[TAKEN_AT] = TAKEN;
    t->flags &= ~GGML_TENSOR_FLAG_COMPUTE;
    return true;
}

// Computes a node of a test graph into `out` (as contiguous as the node). 0, or the reason why not.
API int32_t pa_compute_node(struct pa_hook *hook, const struct ggml_tensor *t, float *out) {
    enum reason why = read_view(t, &hook->view);
    if (why != TAKES) return why;
    hook->used_plans = 0;
    why = find_plan(hook, t->src[3], t->src[0]->ne[1], t->src[1]->ne[1],
                    hook->view.heads / hook->view.kv_heads);
    hook->used_plans = 0;
    if (why != TAKES) return why;
    hook->view.out = (char *)out;
    if (!pa_engine_prepare(&hook->engine, hook->plan, &hook->view)) return MEMORY;
    pa_engine_run(&hook->engine, hook->plan, &hook->view);
    return TAKES;
}

// The kernel without ggml, for tests: a mask of F16 [rows][cells] and the view's own strides.
API int32_t pa_attention(struct pa_hook *hook, const struct pa_view *view, const uint16_t *mask,
                         int64_t rows, int64_t cells) {
    struct pa_plan *plan = &hook->plans[0];
    hook->used_plans = 0;
    if (!pa_plan_build(plan, mask, (size_t)cells * 2, rows, cells, view->heads / view->kv_heads))
        return MASK;
    if (!pa_engine_prepare(&hook->engine, plan, view)) return MEMORY;
    pa_engine_run(&hook->engine, plan, view);
    return TAKES;
}

// A tensor as this file reads it, for layout.py to compare with what ggml's own functions say.
struct pa_description {
    int64_t ne[4];
    uint64_t nb[4];
    int32_t type, op, flags, op_params[5];
    const void *buffer, *src[5], *view_src, *data;
    uint64_t view_offs, size, offset_data;
    char name[64];
};

API void pa_describe(const struct ggml_tensor *t, struct pa_description *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 4; i++) out->ne[i] = t->ne[i], out->nb[i] = t->nb[i];
    out->type = t->type, out->op = t->op, out->flags = t->flags;
    memcpy(out->op_params, t->op_params, sizeof out->op_params);
    out->buffer = t->buffer, out->view_src = t->view_src, out->data = t->data;
    for (int i = 0; i < 5; i++) out->src[i] = t->src[i];
    out->view_offs = t->view_offs, out->size = sizeof *t;
    out->offset_data = offsetof(struct ggml_tensor, data);
    memcpy(out->name, t->name, sizeof out->name - 1);
}

struct pa_constants {
    int32_t op_none, op_flash_attn, op_copy, type_f32, type_f16, type_q8_0, flag_compute;
    char sources[65];  // hash of what this library was compiled from
};

API void pa_read_constants(struct pa_constants *out) {
    *out = (struct pa_constants){GGML_OP_NONE, GGML_OP_FLASH_ATTN_EXT, GGML_OP_CPY, GGML_TYPE_F32,
                                 GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TENSOR_FLAG_COMPUTE,
                                 PA_SOURCES};
}
