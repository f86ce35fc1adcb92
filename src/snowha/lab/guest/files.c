#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fatal(const char *what, const char *where) {
    fprintf(stderr, "lab-service: %s %s: %s\n", what, where, strerror(errno));
    exit(1);
}

/* Exactly one of ``from`` and ``into``. */
static bool whole(int fd, const char *from, char *into, size_t length, off_t at) {
    for (size_t done = 0; done < length;) {
        ssize_t now = from ? pwrite(fd, from + done, length - done, at + (off_t)done)
                           : pread(fd, into + done, length - done, at + (off_t)done);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0) {
            if (now == 0)
                errno = EIO;
            return false;
        }
        done += (size_t)now;
    }
    return true;
}

bool full_write(int fd, const void *data, size_t length, off_t at) {
    return whole(fd, data, NULL, length, at);
}

bool full_read(int fd, void *data, size_t length, off_t at) {
    return whole(fd, NULL, data, length, at);
}
