#define _GNU_SOURCE
#include "stale_reads.h"

#include "files.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOT = 64 << 10,
    SLOT_WORDS = SLOT / 8,
    SLOTS = 64,
    BEHIND = 24, /* writes between a slot's write and its reading: a live migration's switch fits in between */
};

static struct {
    pthread_mutex_t lock;
    int fd;
    long pause_ms;
    struct stale_counts counts;
} stale = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static uint64_t mix(uint64_t word) { /* splitmix64's finalizer */
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
    word = (word ^ word >> 27) * 0x94d049bb133111eb;
    return word ^ word >> 31;
}

static uint64_t hash_slot(const uint64_t *words) {
    uint64_t hash = SLOT;
    for (int i = 0; i < SLOT_WORDS; i++)
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15 + (hash >> 29);
    return hash;
}

static void fill_slot(uint64_t *words, uint64_t seed) {
    for (uint64_t i = 0; i < SLOT_WORDS; i++)
        words[i] = mix(seed + i * 0x9e3779b97f4a7c15);
}

static void count(uint64_t *counter) {
    pthread_mutex_lock(&stale.lock);
    ++*counter;
    pthread_mutex_unlock(&stale.lock);
}

void *check_stale_reads(void *unused) {
    uint64_t hashes[SLOTS] = {0}, *words, seed;
    bool known[SLOTS] = {false}; /* empty at start: a slot from before a restart proves nothing */
    const struct timespec pause = {.tv_nsec = stale.pause_ms * 1000000};
    (void)unused;
    if (posix_memalign((void **)&words, 4096, SLOT))
        return NULL;
    getrandom(&seed, sizeof seed, 0); /* other content than before the restart */
    for (uint64_t turn = 0;; turn++) {
        int slot = (int)(turn % SLOTS), old = (int)((turn + SLOTS - BEHIND) % SLOTS);
        fill_slot(words, mix(seed ^ turn));
        hashes[slot] = hash_slot(words);
        known[slot] = full_write(stale.fd, words, SLOT, (off_t)slot * SLOT);
        count(known[slot] ? &stale.counts.writes : &stale.counts.errors);
        if (turn >= BEHIND && known[old]) {
            bool ok = full_read(stale.fd, words, SLOT, (off_t)old * SLOT);
            count(ok ? &stale.counts.reads : &stale.counts.errors);
            if (ok && hash_slot(words) != hashes[old])
                count(&stale.counts.stale);
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

void open_stale(const char *path, long pause_ms) {
    struct stat info;
    stale.pause_ms = pause_ms;
    stale.fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (stale.fd < 0 || fstat(stale.fd, &info))
        fatal("cannot open", path);
    if (info.st_size < (off_t)SLOTS * SLOT && ftruncate(stale.fd, (off_t)SLOTS * SLOT))
        fatal("cannot make room in", path);
}

bool stale_counts(struct stale_counts *counts) {
    if (stale.fd < 0)
        return false;
    pthread_mutex_lock(&stale.lock);
    *counts = stale.counts;
    pthread_mutex_unlock(&stale.lock);
    return true;
}
