/* file.h: reads a small file of the operator's (the configuration, a secret) whole, and only if it really is
 * a file: a FIFO or a device must not hang the start, a large file must not fill the memory. */
#ifndef OUTBOXD_CONFIG_FILE_H
#define OUTBOXD_CONFIG_FILE_H

#include "base/error.h"

#include <sys/types.h>

enum file_links { FILE_LINKS_FOLLOWED, FILE_LINKS_REFUSED };

struct file {
    char *bytes; /* `size` of them, and a NUL behind */
    size_t size;
    mode_t mode; /* of the very file that was read */
    uid_t owner;
};

/* Reads `path`. `links` is about its last component only. Never blocks on anything but a disk. False with
 * ERROR_CONFIG and a message to stand behind the path ("is a directory, not a file"); nothing is to be freed
 * then. */
MUST_CHECK bool file_load(struct file *file, const char *path, enum file_links links, size_t size_most,
                          struct error *error);

/* Overwrites the bytes with zeros and frees them. A zeroed struct is allowed. */
void file_wipe(struct file *file);

#endif
