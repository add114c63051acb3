// Under llama.cpp: takes attention nodes and matrix products over from ggml through cb_eval.
//
// Before a node runs (`ask`), an eligible one loses GGML_TENSOR_FLAG_COMPUTE, so ggml skips it, and
// the answer "needed" makes ggml stop behind it; then the node is computed here. Whatever is not
// eligible keeps its flag (or gets it back) and stays ggml's. Compiled against the ggml.h of the
// installed llama-cpp-python; layout.py proves at load that the library agrees with it.
#include "hook.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TAKEN 0x50414745  // in the last op parameter: the flag was cleared here
#define TAKEN_AT (GGML_MAX_OP_PARAMS / (int)sizeof(int32_t) - 1)

int64_t hook_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

const struct ggml_tensor *hook_root_of(const struct ggml_tensor *t) {
    return t->view_src ? t->view_src : t;
}

bool hook_on_host(const struct hook *hook, const struct ggml_tensor *t) {
    struct ggml_backend_buffer *buffer = hook_root_of(t)->buffer;
    return buffer && t->data && (!hook->is_host || hook->is_host(buffer));
}

API int32_t hook_best_isa(void) {
    for (int32_t isa = PA_AVX512; isa > PA_PLAIN; isa--) {
        struct pa_engine engine;
        bool works = pa_engine_init(&engine, 1, (enum pa_isa)isa);
        pa_engine_free(&engine);
        if (works) return isa;
    }
    return PA_PLAIN;
}

API bool hook_has_product(void) { return pm_supported(); }

API void hook_free(struct hook *hook) {
    for (int i = 0; i < PLANS; i++) pa_plan_free(&hook->attention.plans[i]);
    pa_engine_free(&hook->attention.engine);
    pm_engine_free(&hook->product.engine);
    pm_store_free(&hook->product.store);
    free(hook);
}

API struct hook *hook_new(int32_t threads, int32_t isa, is_host_fn is_host) {
    struct hook *hook = calloc(1, sizeof *hook);
    if (!hook) return NULL;
    hook->is_host = is_host;
    hook->attention.last_layer = -1;
    if (pa_engine_init(&hook->attention.engine, threads, (enum pa_isa)isa) &&
        pm_engine_init(&hook->product.engine, threads))
        return hook;
    hook_free(hook);
    return NULL;
}

API void hook_enable(struct hook *hook, bool attention, bool product) {
    hook->attention.enabled = attention;
    hook->product.enabled = product && pm_supported();
}

// Packed copies of weights may take this much memory; called before the first step.
API void hook_allow(struct hook *hook, uint64_t bytes) {
    pm_store_allow(&hook->product.store, bytes);
}

API uint64_t hook_kept(const struct hook *hook) { return hook->product.store.used; }

API void hook_read_stats(const struct hook *hook, struct hook_stats *attention,
                         struct hook_stats *product) {
    *attention = hook->attention.stats;
    *product = hook->product.stats;
}

static void give_back(struct ggml_tensor *t) {
    if (t->op_params[TAKEN_AT] != TAKEN) return;
    t->op_params[TAKEN_AT] = 0;
    t->flags |= GGML_TENSOR_FLAG_COMPUTE;
}

static bool take(struct ggml_tensor *t, enum reason why, struct hook_stats *stats) {
    if (why != TAKES) {
        stats->stock++;
        stats->reason = why;
        return false;
    }
    t->op_params[TAKEN_AT] = TAKEN;
    t->flags &= ~GGML_TENSOR_FLAG_COMPUTE;
    return true;
}

static bool ask_for(struct hook *hook, struct ggml_tensor *t) {
    give_back(t);
    if (!(t->flags & GGML_TENSOR_FLAG_COMPUTE)) return false;
    if (t->op == GGML_OP_FLASH_ATTN_EXT)
        return hook->attention.enabled &&
               take(t, attention_take_prepare(hook, t), &hook->attention.stats);
    return hook->product.enabled && product_take_wants(t) &&
           take(t, product_take_prepare(hook, t), &hook->product.stats);
}

// The ggml_backend_sched_eval_callback; `user_data` is the hook.
API bool hook_callback(struct ggml_tensor *t, bool ask, void *user_data) {
    struct hook *hook = user_data;
    bool attention = t->op == GGML_OP_FLASH_ATTN_EXT;
    if (ask) product_take_asked(hook, t);
    if (!attention && t->op != GGML_OP_MUL_MAT) return !ask;
    if (ask) return ask_for(hook, t);
    struct hook_stats *stats = attention ? &hook->attention.stats : &hook->product.stats;
    int64_t began = hook_now_ns();
    if (attention) attention_take_run(hook);
    else product_take_run(hook);
    stats->nanoseconds += hook_now_ns() - began;
    stats->taken++;
    return true;
}

// Computes a node of a test graph into `out` (as contiguous as the node). 0, or the reason why not.
API int32_t hook_compute_node(struct hook *hook, const struct ggml_tensor *t, float *out) {
    return t->op == GGML_OP_FLASH_ATTN_EXT ? attention_take_alone(hook, t, out)
                                           : product_take_alone(hook, t, out);
}

// The kernels without ggml, for tests: a mask of F16 [rows][cells] and the view's own strides.
API int32_t hook_attention(struct hook *hook, const struct pa_view *view, const uint16_t *mask,
                           int64_t rows, int64_t cells) {
    struct attention_taker *attention = &hook->attention;
    struct pa_plan *plan = &attention->plans[0];
    attention->used_plans = 0;
    if (!pa_plan_build(plan, mask, (size_t)cells * 2, rows, cells, view->heads / view->kv_heads))
        return MASK;
    if (!pa_engine_prepare(&attention->engine, plan, view)) return MEMORY;
    pa_engine_run(&attention->engine, plan, view);
    return TAKES;
}

API int32_t hook_product(struct hook *hook, const struct pm_view *view) {
    if (!pm_engine_prepare(&hook->product.engine, view)) return MEMORY;
    pm_engine_run(&hook->product.engine, view);
    return TAKES;
}

// A tensor as these files read it, for layout.py to compare with what ggml's own functions say.
struct hook_description {
    int64_t ne[4];
    uint64_t nb[4];
    int32_t type, op, flags, op_params[5];
    const void *buffer, *src[5], *view_src, *data;
    uint64_t view_offs, size, offset_data;
    char name[64];
};

API void hook_describe(const struct ggml_tensor *t, struct hook_description *out) {
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

struct hook_constants {
    int32_t op_none, op_flash_attn, op_product, op_copy, type_f32, type_f16, type_q8_0,
        flag_compute;
    char sources[65];  // hash of what this library was compiled from
};

API void hook_read_constants(struct hook_constants *out) {
    *out = (struct hook_constants){GGML_OP_NONE,  GGML_OP_FLASH_ATTN_EXT,   GGML_OP_MUL_MAT,
                                   GGML_OP_CPY,   GGML_TYPE_F32,            GGML_TYPE_F16,
                                   GGML_TYPE_Q8_0, GGML_TENSOR_FLAG_COMPUTE, KERNEL_SOURCES};
}
