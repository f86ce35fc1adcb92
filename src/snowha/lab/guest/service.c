/*
 * The service inside every domain of the lab. It is how the lab knows, from outside, that nothing was lost:
 * a number is answered only after its record is on the domain's own disk.
 *
 *   lab-service --records FILE [--stale FILE] [--stale-pause MS] [--port 7000] [--checkpoint]
 *
 * One line in, one line out, as long as the client stays. It may close at any time; one that is silent for 20 s is left:
 *   append NONCE   ->  ok NUMBER BOOT | error full | error io ERRNO | error bad request
 *   status         ->  {"name": ..., "boot": ..., "number": ..., "uptime_s": ..., "stale": {...} | null}
 *
 * A record is 64 bytes at offset (NUMBER - 1) * 64, so it never crosses a sector:
 *   NUMBER(10 digits) NONCE(16 hex) BOOT(16 hex) UNIXTIME_MS(11 hex) CHECKSUM(6 hex)\n
 * CHECKSUM is the low 24 bits of the CRC-32 (zlib's) of the 57 bytes before it. snowha/lab/records.py reads them.
 *
 * With --stale a thread writes slots with O_DIRECT, so that each write is complete for the domain without a flush,
 * and reads each one back a while later: a slot that is not what was written is a completed write that was lost.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    RECORD = 64,
    BODY = 57, /* the part of a record that its checksum covers */
    NONCE_AT = 11,
    BOOT_AT = 28,
    ID = 16,
    CHUNK = 1 << 20,
    SLOT = 64 << 10,
    SLOT_WORDS = SLOT / 8,
    SLOTS = 64,
    BEHIND = 24, /* writes between a slot's write and its reading: a live migration's switch fits in between */
    MAX_CLIENTS = 64,
};
static const off_t RECORDS_BYTES = 4 << 20;

static struct {
    pthread_mutex_t lock;
    int fd;
    uint64_t last, capacity;
} records = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static struct {
    pthread_mutex_t lock;
    int fd;
    long pause_ms;
    uint64_t writes, reads, stale, errors;
} stale = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .pause_ms = 900};

static char boot[ID + 1];
static char hostname[65];
static struct timespec started;
static int clients; /* only touched with __atomic */

static void fatal(const char *what, const char *where) {
    fprintf(stderr, "lab-service: %s %s: %s\n", what, where, strerror(errno));
    exit(1);
}

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

static bool full_write(int fd, const void *data, size_t length, off_t at) {
    for (const char *next = data; length;) {
        ssize_t done = pwrite(fd, next, length, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            if (done == 0)
                errno = EIO;
            return false;
        }
        next += done, at += done, length -= (size_t)done;
    }
    return true;
}

static bool full_read(int fd, void *data, size_t length, off_t at) {
    for (char *next = data; length;) {
        ssize_t done = pread(fd, next, length, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            if (done == 0)
                errno = EIO;
            return false;
        }
        next += done, at += done, length -= (size_t)done;
    }
    return true;
}

static bool is_id(const char *text) {
    for (int i = 0; i < ID; i++)
        if (!memchr("0123456789abcdef", text[i], 16))
            return false;
    return true;
}

/* ---- records ---- */

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

static void open_records(const char *path, bool checkpoint) {
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

static void append(const char *nonce, char *answer, size_t size) {
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

/* ---- stale reads ---- */

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

static void *check_stale_reads(void *unused) {
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
        count(known[slot] ? &stale.writes : &stale.errors);
        if (turn >= BEHIND && known[old]) {
            bool ok = full_read(stale.fd, words, SLOT, (off_t)old * SLOT);
            count(ok ? &stale.reads : &stale.errors);
            if (ok && hash_slot(words) != hashes[old])
                count(&stale.stale);
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

static void open_stale(const char *path) {
    struct stat info;
    stale.fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (stale.fd < 0 || fstat(stale.fd, &info))
        fatal("cannot open", path);
    if (info.st_size < (off_t)SLOTS * SLOT && ftruncate(stale.fd, (off_t)SLOTS * SLOT))
        fatal("cannot make room in", path);
}

/* ---- clients ---- */

static void status(char *answer, size_t size) {
    char check[160] = "null";
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double up = (double)(now.tv_sec - started.tv_sec) + (double)(now.tv_nsec - started.tv_nsec) / 1e9;
    if (stale.fd >= 0) {
        pthread_mutex_lock(&stale.lock);
        snprintf(check, sizeof check,
                 "{\"writes\": %" PRIu64 ", \"reads\": %" PRIu64 ", \"stale\": %" PRIu64 ", \"errors\": %" PRIu64 "}",
                 stale.writes, stale.reads, stale.stale, stale.errors);
        pthread_mutex_unlock(&stale.lock);
    }
    pthread_mutex_lock(&records.lock);
    uint64_t last = records.last;
    pthread_mutex_unlock(&records.lock);
    snprintf(answer, size,
             "{\"name\": \"%s\", \"boot\": \"%s\", \"number\": %" PRIu64 ", \"uptime_s\": %.3f, \"stale\": %s}\n",
             hostname, boot, last, up, check);
}

static bool read_line(int fd, char *line, size_t size) {
    for (size_t length = 0; length < size;) {
        ssize_t got = recv(fd, line + length, size - length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        char *end = memchr(line + length, '\n', (size_t)got);
        if (end) {
            *end = 0;
            return true;
        }
        length += (size_t)got;
    }
    return false;
}

static bool send_all(int fd, const char *text) {
    for (size_t sent = 0, length = strlen(text); sent < length;) {
        ssize_t done = send(fd, text + sent, length - sent, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        sent += (size_t)done;
    }
    return true;
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument;
    char line[128], answer[512];
    bool understood = true;
    while (understood && read_line(fd, line, sizeof line)) {
        if (!strcmp(line, "status"))
            status(answer, sizeof answer);
        else if (!strncmp(line, "append ", 7) && strlen(line) == 7 + ID && is_id(line + 7))
            append(line + 7, answer, sizeof answer);
        else
            understood = false;
        if (understood && !send_all(fd, answer))
            break;
    }
    if (!understood)
        send_all(fd, "error bad request\n");
    close(fd);
    __atomic_sub_fetch(&clients, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void start(void *(*run)(void *), void *argument, void (*failed)(void *)) {
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10); /* the domain may have 64 MiB in all */
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &small, run, argument) && failed)
        failed(argument);
    pthread_attr_destroy(&small);
}

static void drop(void *argument) {
    close((int)(intptr_t)argument);
    __atomic_sub_fetch(&clients, 1, __ATOMIC_SEQ_CST);
}

static void welcome(int listener) {
    const struct timeval patience = {.tv_sec = 20};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            usleep(50000);
        return;
    }
    if (__atomic_add_fetch(&clients, 1, __ATOMIC_SEQ_CST) > MAX_CLIENTS) {
        drop((void *)(intptr_t)fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    start(serve, (void *)(intptr_t)fd, drop);
}

static int listen_on(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 32))
        fatal("cannot listen on", "its port");
    return fd;
}

int main(int argc, char **argv) {
    const char *records_path = NULL, *stale_path = NULL;
    bool checkpoint = false;
    int port = 7000;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--checkpoint"))
            checkpoint = true;
        else if (!strcmp(argv[i], "--records") && value)
            records_path = value, i++;
        else if (!strcmp(argv[i], "--stale") && value)
            stale_path = value, i++;
        else if (!strcmp(argv[i], "--stale-pause") && value)
            stale.pause_ms = atol(value) % 1000, i++;
        else if (!strcmp(argv[i], "--port") && value)
            port = atoi(value), i++;
        else
            records_path = NULL, i = argc;
    }
    if (!records_path || port < 1 || port > 65535) {
        fprintf(stderr, "usage: lab-service --records FILE [--stale FILE] [--stale-pause MS] [--port 7000] [--checkpoint]\n");
        return 2;
    }

    uint64_t id;
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        fatal("no random numbers for", "the boot id");
    snprintf(boot, sizeof boot, "%016" PRIx64, id);
    gethostname(hostname, sizeof hostname - 1);
    for (char *letter = hostname; *letter; letter++)
        if (*letter == '"' || *letter == '\\' || (unsigned char)*letter < ' ')
            *letter = '?';
    clock_gettime(CLOCK_MONOTONIC, &started);

    /* Blocked before any thread exists, so that every thread inherits it and the end is always the main loop's. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    int ended = signalfd(-1, &ends, SFD_CLOEXEC);

    open_records(records_path, checkpoint);
    int listener = listen_on((uint16_t)port);
    if (stale_path) {
        open_stale(stale_path);
        start(check_stale_reads, NULL, NULL);
    }
    fprintf(stderr, "lab-service: %s, boot %s, goes on after record %" PRIu64 "\n", hostname, boot, records.last);

    struct pollfd waits[] = {{.fd = listener, .events = POLLIN}, {.fd = ended, .events = POLLIN}};
    for (;;) {
        if (poll(waits, 2, -1) < 0)
            continue;
        if (waits[1].revents)
            break;
        if (waits[0].revents)
            welcome(listener);
    }
    pthread_mutex_lock(&records.lock); /* an append that is under way is finished first */
    _exit(0);
}
