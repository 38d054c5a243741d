/* What the clients in C share: the clock, and a histogram of latencies. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECOND 1000000000LL

static inline void fail(const char *what, const char *why) {
    fprintf(stderr, "probe: %s: %s\n", what, why);
    exit(1);
}

static inline int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* Microseconds, in 64 buckets for each power of two: exact to 1.6 %. */
#define SUB 64
#define BUCKETS (SUB * 40)

typedef struct {
    int64_t counts[BUCKETS];
    int64_t total, greatest;
} Histogram;

static inline int bucket_of(int64_t value) {
    int shift = 0;
    while (value >> shift >= 2 * SUB) shift++;
    int bucket = shift * SUB + (int)(value >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static inline int64_t value_of(int bucket) {
    if (bucket < 2 * SUB) return bucket;
    int shift = bucket / SUB - 1;
    return (int64_t)(bucket - shift * SUB) << shift;
}

static inline void add(Histogram *histogram, int64_t nanoseconds) {
    int64_t value = nanoseconds > 0 ? nanoseconds / 1000 : 0;
    histogram->counts[bucket_of(value)]++;
    histogram->total++;
    if (value > histogram->greatest) histogram->greatest = value;
}

static inline double percentile(const Histogram *histogram, double share) {
    int64_t wanted = (int64_t)((double)histogram->total * share), seen = 0;
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > wanted) return (double)value_of(bucket) / 1000;
    }
    return (double)histogram->greatest / 1000;
}

static inline void print(const char *name, const Histogram *histogram) {
    printf("\"%s\":{\"p50\":%.3f,\"p99\":%.3f,\"p99.9\":%.3f,\"max\":%.3f}", name, percentile(histogram, 0.5),
           percentile(histogram, 0.99), percentile(histogram, 0.999), (double)histogram->greatest / 1000);
}

#endif
