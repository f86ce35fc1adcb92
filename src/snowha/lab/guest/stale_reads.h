/* Slots that are written with O_DIRECT, so that each write is complete for the domain without a flush, and read back a while
 * later: a slot that is not what was written is a completed write that was lost. */
#ifndef STALE_READS_H
#define STALE_READS_H
#include <stdbool.h>
#include <stdint.h>

struct stale_counts {
    uint64_t writes, reads, stale, errors;
};

/* Opens or makes the file; ``pause_ms`` (below 1000) lie between two writes. Ends the service if it cannot. */
void open_stale(const char *path, long pause_ms);
/* A thread that writes and reads back, for good. */
void *check_stale_reads(void *unused);
/* False if no file was opened. */
bool stale_counts(struct stale_counts *counts);

#endif
