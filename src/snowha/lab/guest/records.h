/* The records that the domain acknowledges: each is on its disk before it is answered. */
#ifndef RECORDS_H
#define RECORDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ID = 16 };

/* Of this start of the service: 16 hex digits, set before open_records. */
extern char boot[ID + 1];

/* Whether ``text`` begins with 16 hex digits. */
bool is_id(const char *text);
/* Opens or makes the file. ``checkpoint``: what was allocated is not left in the file system's journal. Ends the service if
 * it cannot. */
void open_records(const char *path, bool checkpoint);
/* Writes a record with ``nonce``; ``answer`` is the line for the client. */
void append(const char *nonce, char *answer, size_t size);
/* The number of the last record that is on the disk. */
uint64_t last_record(void);
/* Waits until an append that is under way is finished. None is begun any more. */
void close_records(void);

#endif
