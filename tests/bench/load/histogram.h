/* A histogram of latencies with 128 steps per power of two: every value is kept to better than 1 %. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 128, BUCKETS = STEPS * 40 };

typedef struct {
    uint64_t count, max;
    double sum;
    uint32_t bucket[BUCKETS];
} histogram;

static inline void histogram_clear(histogram *h) { memset(h, 0, sizeof *h); }

static inline void histogram_add(histogram *h, uint64_t nanoseconds)
{
    /* values below 2 * STEPS are exact; above, the leading 8 bits name the bucket */
    int shift = nanoseconds < 2 * STEPS ? 0 : 56 - __builtin_clzll(nanoseconds);
    uint64_t index = (uint64_t)shift * STEPS + (nanoseconds >> shift);
    h->bucket[index < BUCKETS ? index : BUCKETS - 1]++;
    h->count++;
    h->sum += (double)nanoseconds;
    if (nanoseconds > h->max) h->max = nanoseconds;
}

/* Nanoseconds that a share of all values does not exceed; the middle of the bucket. */
static inline uint64_t histogram_at(const histogram *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count + 0.5), seen = 0;
    if (wanted == 0) wanted = 1;
    for (uint64_t i = 0; i < BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= wanted) {
            if (i < 2 * STEPS) return i;
            int shift = (int)(i / STEPS) - 1;
            uint64_t value = ((i % STEPS) + STEPS) << shift;
            value += (1ull << shift) / 2;
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}

/* As a JSON member in milliseconds, with a comma behind it. */
static inline void histogram_print(const char *name, const histogram *h)
{
    const double ms = 1e6;
    printf("\"%s\":{\"count\":%llu,\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f},",
           name, (unsigned long long)h->count, h->count ? h->sum / (double)h->count / ms : 0.0,
           (double)histogram_at(h, 0.50) / ms, (double)histogram_at(h, 0.90) / ms, (double)histogram_at(h, 0.99) / ms,
           (double)histogram_at(h, 0.999) / ms, (double)h->max / ms);
}

#endif
