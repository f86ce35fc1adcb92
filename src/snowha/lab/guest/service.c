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
 * The form of a record is in records.c. With --stale a thread looks for completed writes that were lost (stale_reads.h).
 */
#define _GNU_SOURCE
#include "files.h"
#include "records.h"
#include "stale_reads.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 64 };

static char hostname[65];
static struct timespec started;
static int clients; /* only touched with __atomic */

static void status(char *answer, size_t size) {
    char check[160] = "null";
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double up = (double)(now.tv_sec - started.tv_sec) + (double)(now.tv_nsec - started.tv_nsec) / 1e9;
    struct stale_counts stale;
    if (stale_counts(&stale))
        snprintf(check, sizeof check,
                 "{\"writes\": %" PRIu64 ", \"reads\": %" PRIu64 ", \"stale\": %" PRIu64 ", \"errors\": %" PRIu64 "}",
                 stale.writes, stale.reads, stale.stale, stale.errors);
    snprintf(answer, size,
             "{\"name\": \"%s\", \"boot\": \"%s\", \"number\": %" PRIu64 ", \"uptime_s\": %.3f, \"stale\": %s}\n",
             hostname, boot, last_record(), up, check);
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
    long stale_pause_ms = 900;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--checkpoint"))
            checkpoint = true;
        else if (!strcmp(argv[i], "--records") && value)
            records_path = value, i++;
        else if (!strcmp(argv[i], "--stale") && value)
            stale_path = value, i++;
        else if (!strcmp(argv[i], "--stale-pause") && value)
            stale_pause_ms = atol(value) % 1000, i++;
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
        open_stale(stale_path, stale_pause_ms);
        start(check_stale_reads, NULL, NULL);
    }
    fprintf(stderr, "lab-service: %s, boot %s, goes on after record %" PRIu64 "\n", hostname, boot, last_record());

    struct pollfd waits[] = {{.fd = listener, .events = POLLIN}, {.fd = ended, .events = POLLIN}};
    for (;;) {
        if (poll(waits, 2, -1) < 0)
            continue;
        if (waits[1].revents)
            break;
        if (waits[0].revents)
            welcome(listener);
    }
    close_records();
    _exit(0);
}
