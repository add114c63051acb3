// How long OpenMP's threads look before they sleep at a barrier, switched while the process runs.
//
// libgomp reads GOMP_SPINCOUNT once, but asks at every wait whether it manages more threads than
// there are CPUs; then it uses its throttled count, which OMP_WAIT_POLICY=passive sets to zero. So a
// second team that does nothing but sleep turns spinning off for all teams, and its end on again.
// Another OpenMP library keeps its own way: nothing breaks.
#include <omp.h>
#include <pthread.h>

#include "hook.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t holder;
static bool held;

static void *sleep_as_a_team(void *threads) {
#pragma omp parallel num_threads((int)(intptr_t)threads)
    {
        pthread_mutex_lock(&lock);
        while (held) pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

// Whether waiting threads sleep at once; `threads` is the size of the teams that compute.
API bool crowd_hold(bool hold, int32_t threads) {
    pthread_mutex_lock(&lock);
    bool was = held;
    held = hold;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (was == hold) return true;
    if (!hold) return pthread_join(holder, NULL) == 0;
    int team = omp_get_num_procs() - threads + 2;
    held = pthread_create(&holder, NULL, sleep_as_a_team, (void *)(intptr_t)(team > 2 ? team : 2)) == 0;
    return held;
}
