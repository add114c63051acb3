// What a GGML_OP_MUL_MAT node asks for, in the kernel's terms.
#include <string.h>

#include "hook.h"

#define FEW 2  // tokens; a single one reads the weights once whoever multiplies, and ggml does that well

// Products of a batch with a weight matrix. Others (attention scores, few tokens) are ggml's.
bool product_take_wants(const struct ggml_tensor *t) {
    return t->src[0]->ne[2] == 1 && t->src[0]->ne[3] == 1 && t->src[1]->ne[1] >= FEW;
}

static enum reason read_view(const struct ggml_tensor *t, struct pm_view *view) {
    const struct ggml_tensor *w = t->src[0], *x = t->src[1];
    if (w->type != GGML_TYPE_Q8_0 || x->type != GGML_TYPE_F32 || t->type != GGML_TYPE_F32)
        return WEIGHTS;
    if (w->ne[0] != x->ne[0] || t->ne[0] != w->ne[1] || t->ne[1] != x->ne[1] || w->ne[2] != 1 ||
        w->ne[3] != 1 || x->ne[2] != 1 || x->ne[3] != 1)
        return MATRIX;
    if (w->ne[0] % PM_BLOCK || w->ne[1] % PM_ROWS || w->nb[0] != PM_BLOCK_BYTES || x->nb[0] != 4 ||
        t->nb[0] != 4)
        return MATRIX;
    *view = (struct pm_view){
        .weights = w->data,
        .x = x->data,
        .out = t->data,
        .weight_row = w->nb[1],
        .x_token = x->nb[1],
        .out_token = t->nb[1],
        .rows = w->ne[1],
        .tokens = x->ne[1],
        .blocks = (int32_t)(w->ne[0] / PM_BLOCK),
    };
    return TAKES;
}

// A tensor that lives and stays as it is while the context does. An adapter's (…weight.lora_a) may
// go, and another take its place.
static bool is_of_model(const struct ggml_tensor *w) {
    size_t length = strnlen(w->name, sizeof w->name);
    return w->op == GGML_OP_NONE && !w->view_src && length >= 7 &&
           memcmp(w->name + length - 7, ".weight", 7) == 0;
}

enum reason product_take_prepare(struct hook *hook, const struct ggml_tensor *t) {
    struct product_taker *own = &hook->product;
    enum reason why = read_view(t, &own->view);
    if (why != TAKES) return why;
    if (!hook_on_host(hook, t) || !hook_on_host(hook, t->src[0]) || !hook_on_host(hook, t->src[1]))
        return DEVICE;
    if (!pm_engine_prepare(&own->engine, &own->view)) return MEMORY;
    own->view.rounded = own->rounded && own->rounded == t->src[1];
    own->rounded = t->src[1]->op == GGML_OP_NONE ? NULL : t->src[1];  // inputs change unasked
    if (is_of_model(t->src[0])) own->view.kept = pm_store_find(&own->store, &own->view);
    return TAKES;
}

// Tokens rounded for one product serve the next ones of the same tensor, until it is computed anew.
void product_take_asked(struct hook *hook, const struct ggml_tensor *t) {
    if (t == hook->product.rounded) hook->product.rounded = NULL;
}

void product_take_run(struct hook *hook) {
    pm_engine_run(&hook->product.engine, &hook->product.view);
}

// A node of a test graph, outside any step.
enum reason product_take_alone(struct hook *hook, const struct ggml_tensor *t, float *out) {
    struct product_taker *own = &hook->product;
    enum reason why = read_view(t, &own->view);
    if (why != TAKES) return why;
    own->view.out = (char *)out;
    own->rounded = NULL;
    if (!pm_engine_prepare(&own->engine, &own->view)) return MEMORY;
    product_take_run(hook);
    return TAKES;
}
