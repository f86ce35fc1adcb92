/*
 * A record is 64 bytes at offset (NUMBER - 1) * 64, so it never crosses a sector:
 *   NUMBER(10 digits) NONCE(16 hex) BOOT(16 hex) UNIXTIME_MS(11 hex) CHECKSUM(6 hex)\n
 * CHECKSUM is the low 24 bits of the CRC-32 (zlib's) of the 57 bytes before it. snowha/lab/records.py reads them.
 */
#define _GNU_SOURCE
#include "records.h"

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    RECORD = 64,
    BODY = 57, /* the part of a record that its checksum covers */
    NONCE_AT = 11,
    BOOT_AT = 28,
    CHUNK = 1 << 20,
};
static const off_t RECORDS_BYTES = 4 << 20;

static struct {
    pthread_mutex_t lock;
    int fd;
    uint64_t last, capacity;
} records = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

char boot[ID + 1];

static uint32_t crc32(const void *data, size_t length) {
    const uint8_t *byte = data;
    uint32_t crc = 0xffffffff;
    while (length--) {
        crc ^= *byte++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

bool is_id(const char *text) {
    for (int i = 0; i < ID; i++)
        if (!memchr("0123456789abcdef", text[i], 16))
            return false;
    return true;
}

static void format_record(char record[RECORD + 1], uint64_t number, const char *nonce) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) & 0xfffffffffff;
    snprintf(record, RECORD + 1, "%010" PRIu64 " %.16s %s %011" PRIx64 " ", number, nonce, boot, ms);
    snprintf(record + BODY, RECORD + 1 - BODY, "%06" PRIx32 "\n", crc32(record, BODY) & 0xffffff);
}

static bool is_record(const char *record, uint64_t number) {
    char want[32];
    snprintf(want, sizeof want, "%010" PRIu64 " ", number);
    if (memcmp(record, want, 11) || !is_id(record + NONCE_AT) || !is_id(record + BOOT_AT))
        return false;
    snprintf(want, sizeof want, "%06" PRIx32 "\n", crc32(record, BODY) & 0xffffff);
    return !memcmp(record + BODY, want, 7);
}

/* A hole, or an extent that is allocated and not yet written, would make the first append change the file's map. */
static bool fill_holes(int fd, off_t size) {
    static const char zeros[64 << 10];
    bool filled = false;
    for (off_t at = 0; (at = lseek(fd, at, SEEK_HOLE)) >= 0 && at < size;) {
        off_t end = lseek(fd, at, SEEK_DATA);
        if (end < 0)
            end = size;
        for (; at < end; at += (off_t)sizeof zeros) {
            size_t length = end - at < (off_t)sizeof zeros ? (size_t)(end - at) : sizeof zeros;
            if (!full_write(fd, zeros, length, at))
                return filled;
        }
        at = end;
        filled = true;
    }
    return filled;
}

void open_records(const char *path, bool checkpoint) {
    struct stat info;
    records.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (records.fd < 0 || fstat(records.fd, &info))
        fatal("cannot open", path);
    off_t size = info.st_size / RECORD * RECORD;
    if (!size) {
        size = RECORDS_BYTES;
        if (ftruncate(records.fd, size))
            fatal("cannot make room in", path);
    }
    bool filled = fill_holes(records.fd, size);
    if (filled && fsync(records.fd))
        fatal("cannot write", path);
    /*
     * fsync leaves the new map in the ext4 journal, where somebody who reads the image from outside (debugfs) does
     * not look. Freezing the file system brings the journal home. Nothing here writes between the two calls.
     */
    if (filled && checkpoint && !ioctl(records.fd, FIFREEZE, 0))
        while (ioctl(records.fd, FITHAW, 0) && errno != EINVAL)
            usleep(10000);
    records.capacity = (uint64_t)(size / RECORD);

    char *chunk = malloc(CHUNK);
    if (!chunk)
        fatal("no memory for", path);
    for (off_t at = 0; at < size; at += CHUNK) {
        size_t length = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        if (!full_read(records.fd, chunk, length, at))
            fatal("cannot read", path);
        for (size_t i = 0; i < length; i += RECORD) {
            uint64_t number = (uint64_t)(at + (off_t)i) / RECORD + 1;
            if (chunk[i] && is_record(chunk + i, number))
                records.last = number;
        }
    }
    free(chunk);
}

void append(const char *nonce, char *answer, size_t size) {
    char record[RECORD + 1];
    pthread_mutex_lock(&records.lock);
    uint64_t number = records.last + 1;
    if (number > records.capacity) {
        snprintf(answer, size, "error full\n");
    } else {
        format_record(record, number, nonce);
        /* After a failure the number is used again: its record was acknowledged to nobody. */
        if (!full_write(records.fd, record, RECORD, (off_t)records.last * RECORD) || fdatasync(records.fd)) {
            snprintf(answer, size, "error io %d\n", errno);
        } else {
            records.last = number;
            snprintf(answer, size, "ok %" PRIu64 " %s\n", number, boot);
        }
    }
    pthread_mutex_unlock(&records.lock);
}

uint64_t last_record(void) {
    pthread_mutex_lock(&records.lock);
    uint64_t last = records.last;
    pthread_mutex_unlock(&records.lock);
    return last;
}

void close_records(void) {
    pthread_mutex_lock(&records.lock);
}
