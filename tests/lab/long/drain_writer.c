/*
 * Init of a small domain that knows what its disk must hold: for each of some blocks the newest write that it was told is done.
 *
 * Each block is written (never flushed), read back a second later, and written anew after another second, all at once and without
 * waiting for each other: half of them are written in the second before the domain is suspended, in which nothing is answered. A
 * block that is read back older than what was done before is counted. Asynchronous I/O, since a process that waits in a write
 * keeps its kernel from suspending (kernel/power/process.c), and these writes are to be under way when it is suspended. The
 * blocks are fewer than the 32 requests that fit into a block device's ring: the next one would wait as well.
 *
 * usage: drain_writer DEVICE. Behind the blocks it writes, each second, what it has counted: writes, reads, stale, errors.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 30, SIZE = 4096, COUNTS = BLOCKS };
enum state { WAITS, WRITES, READS, HAS_READ };

struct block {
    enum state state;
    double since;
    uint64_t written, done;
    struct iocb request;
    uint64_t *data;
};

static struct block blocks[BLOCKS + 1];
static uint64_t counts[4];
enum { DID_WRITE, DID_READ, STALE, ERRORS };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void ask(aio_context_t context, int disk, int number, enum state what)
{
    struct block *b = &blocks[number];
    struct iocb *list[1] = {&b->request};
    memset(&b->request, 0, sizeof b->request);
    b->request.aio_data = number;
    b->request.aio_lio_opcode = what == WRITES ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    b->request.aio_fildes = disk;
    b->request.aio_buf = (uintptr_t)b->data;
    b->request.aio_nbytes = SIZE;
    b->request.aio_offset = (int64_t)number * SIZE;
    b->state = what;
    if (syscall(SYS_io_submit, context, 1, list) != 1) {
        counts[ERRORS]++;
        b->state = WAITS;
        b->since = now();
    }
}

static void write_next(aio_context_t context, int disk, int number)
{
    struct block *b = &blocks[number];
    b->written++;
    for (int i = 0; i < SIZE / 8; i++)
        b->data[i] = b->written;
    ask(context, disk, number, WRITES);
}

static void ended(int number, int64_t result)
{
    struct block *b = &blocks[number];
    enum state was = b->state;
    b->state = WAITS;
    b->since = now();
    if (result != SIZE) {
        counts[ERRORS]++;
        return;
    }
    if (number == COUNTS)
        return;
    if (was == WRITES) {
        counts[DID_WRITE]++;
        b->done = b->written;
        return;
    }
    counts[DID_READ]++;
    for (int i = 0; i < SIZE / 8; i++)
        if (b->data[i] < b->done) {
            counts[STALE]++;
            break;
        }
    b->state = HAS_READ;
}

int main(int argc, char **argv)
{
    aio_context_t context = 0;
    int disk = -1;
    for (int tries = 0; disk < 0 && tries < 600; tries++) { /* its backend may come after the root's */
        disk = open(argc > 1 ? argv[1] : "/dev/xvdb", O_RDWR | O_DIRECT);
        if (disk < 0)
            usleep(100 * 1000);
    }
    if (disk < 0 || syscall(SYS_io_setup, 2 * BLOCKS, &context) < 0) {
        printf("drain_writer: %s\n", strerror(errno));
        for (;;)
            pause();
    }
    for (int i = 0; i <= BLOCKS; i++) {
        if (posix_memalign((void **)&blocks[i].data, SIZE, SIZE))
            abort();
        blocks[i].since = now();
        if (i < BLOCKS)
            write_next(context, disk, i);
    }
    for (;;) {
        struct io_event events[BLOCKS + 1];
        struct timespec wait = {0, 20 * 1000 * 1000};
        long got = syscall(SYS_io_getevents, context, 1, BLOCKS + 1, events, &wait);
        for (long i = 0; i < got; i++)
            ended((int)events[i].data, events[i].res);
        for (int i = 0; i <= BLOCKS; i++) {
            enum state state = blocks[i].state;
            if (state == WRITES || state == READS || now() - blocks[i].since < 1)
                continue;
            if (i == COUNTS) {
                memcpy(blocks[i].data, counts, sizeof counts);
                ask(context, disk, i, WRITES);
            } else if (state == HAS_READ) {
                write_next(context, disk, i);
            } else {
                ask(context, disk, i, READS);
            }
        }
    }
}
