// The one callback under a llama context and the nodes it takes over. `attention_take.c` and
// `product_take.c` translate ggml's nodes; hook.c drives them.
#ifndef KVSERVE_HOOK_H
#define KVSERVE_HOOK_H

#include "attention.h"
#include "ggml.h"
#include "product.h"

#define API __attribute__((visibility("default")))
#define PLANS 4  // different masks of one step: full and sliding window, with room to spare

typedef bool (*is_host_fn)(struct ggml_backend_buffer *buffer);

// Why a node is left to ggml; REASONS in extension.py has the texts.
enum reason { TAKES, BIAS, SINKS, TYPES, SHAPE, MASK, DEVICE, CACHE, MEMORY, WEIGHTS, MATRIX };

struct hook_stats {
    int64_t taken, stock;      // nodes
    int64_t nanoseconds;       // in taken nodes
    int64_t plan_nanoseconds;  // in reading masks
    int32_t reason;            // of the last node left to ggml
};

struct attention_taker {
    struct pa_engine engine;
    struct pa_plan plans[PLANS];
    int32_t used_plans, last_layer, group_of[PLANS];
    const struct pa_plan *plan;  // of the node that was asked for last
    struct pa_view view;
    struct hook_stats stats;
    bool enabled;
};

struct product_taker {
    struct pm_engine engine;
    struct pm_store store;
    struct pm_view view;
    const struct ggml_tensor *rounded;  // lies in the engine's tiles, or NULL
    struct hook_stats stats;
    bool enabled;
};

struct hook {
    struct attention_taker attention;
    struct product_taker product;
    is_host_fn is_host;
};

int64_t hook_now_ns(void);
bool hook_on_host(const struct hook *hook, const struct ggml_tensor *t);
const struct ggml_tensor *hook_root_of(const struct ggml_tensor *t);

// `take_prepare` reads a node and makes room, so that `take_run` of it cannot fail.
enum reason attention_take_prepare(struct hook *hook, const struct ggml_tensor *t);
enum reason attention_take_alone(struct hook *hook, const struct ggml_tensor *t, float *out);
void attention_take_run(struct hook *hook);

bool product_take_wants(const struct ggml_tensor *t);
enum reason product_take_prepare(struct hook *hook, const struct ggml_tensor *t);
enum reason product_take_alone(struct hook *hook, const struct ggml_tensor *t, float *out);
void product_take_asked(struct hook *hook, const struct ggml_tensor *t);
void product_take_run(struct hook *hook);

#endif
