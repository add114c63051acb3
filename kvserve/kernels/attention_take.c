// What a GGML_OP_FLASH_ATTN_EXT node asks for, in the kernel's terms.
#include <stdio.h>
#include <string.h>

#include "hook.h"

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
static bool note_layer(struct attention_taker *own, const struct ggml_tensor *k) {
    int layer;
    if (sscanf(hook_root_of(uncast(k))->name, "cache_k_l%d", &layer) != 1) return false;
    if (layer <= own->last_layer) own->used_plans = 0;
    own->last_layer = layer;
    return true;
}

static enum reason find_plan(struct attention_taker *own, const struct ggml_tensor *mask, int64_t rows,
                             int64_t cells, int32_t group) {
    if (!mask || mask->type != GGML_TYPE_F16 || mask->op != GGML_OP_NONE || mask->ne[0] != cells ||
        mask->ne[1] < rows || mask->ne[2] != 1 || mask->ne[3] != 1 || mask->nb[0] != 2)
        return MASK;
    for (int32_t i = 0; i < own->used_plans; i++) {
        struct pa_plan *plan = &own->plans[i];
        if (plan->mask != mask->data || plan->rows != rows || plan->cells != cells ||
            own->group_of[i] != group)
            continue;
        own->plan = plan;
        return plan->usable ? TAKES : MASK;
    }
    if (own->used_plans == PLANS) own->used_plans = 0;
    int32_t at = own->used_plans++;
    int64_t began = hook_now_ns();
    own->plan = &own->plans[at];
    own->group_of[at] = group;
    bool built = pa_plan_build(&own->plans[at], mask->data, mask->nb[1], rows, cells, group);
    own->stats.plan_nanoseconds += hook_now_ns() - began;
    return built ? TAKES : MASK;
}

enum reason attention_take_prepare(struct hook *hook, const struct ggml_tensor *t) {
    const struct ggml_tensor *q = t->src[0], *k = t->src[1], *mask = t->src[3];
    struct attention_taker *own = &hook->attention;
    enum reason why = read_view(t, &own->view);
    if (why != TAKES) return why;
    if (!note_layer(own, k)) return CACHE;
    if (!hook_on_host(hook, t) || !hook_on_host(hook, q) || !hook_on_host(hook, uncast(k)) ||
        !hook_on_host(hook, uncast(t->src[2])) || (mask && !hook_on_host(hook, mask)))
        return DEVICE;
    why = find_plan(own, mask, q->ne[1], k->ne[1], (int32_t)(q->ne[2] / k->ne[2]));
    if (why != TAKES) return why;
    return pa_engine_prepare(&own->engine, own->plan, &own->view) ? TAKES : MEMORY;
}

void attention_take_run(struct hook *hook) {
    struct attention_taker *own = &hook->attention;
    pa_engine_run(&own->engine, own->plan, &own->view);
}

// A node of a test graph, outside any step.
enum reason attention_take_alone(struct hook *hook, const struct ggml_tensor *t, float *out) {
    struct attention_taker *own = &hook->attention;
    enum reason why = read_view(t, &own->view);
    if (why != TAKES) return why;
    own->used_plans = 0;
    why = find_plan(own, t->src[3], t->src[0]->ne[1], t->src[1]->ne[1],
                    own->view.heads / own->view.kv_heads);
    own->used_plans = 0;
    if (why != TAKES) return why;
    own->view.out = (char *)out;
    if (!pa_engine_prepare(&own->engine, own->plan, &own->view)) return MEMORY;
    attention_take_run(hook);
    return TAKES;
}
