/* Files written and read as a whole, at any offset. */
#ifndef FILES_H
#define FILES_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Ends the service with ``what``, ``where`` and errno. */
void fatal(const char *what, const char *where);
/* Whether all of it was written, or read. errno is EIO where the file ends before. */
bool full_write(int fd, const void *data, size_t length, off_t at);
bool full_read(int fd, void *data, size_t length, off_t at);

#endif
