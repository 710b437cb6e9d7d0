/* A ring buffer of bytes: first in, first out, in memory that the caller owns. */
#ifndef RING_H
#define RING_H

#include <stddef.h>
#include <stdint.h>

struct ring {
    uint8_t *memory;
    size_t size;  /* of the memory; all of it can be filled */
    size_t start; /* where the oldest byte is */
    size_t used;
};

void ring_init(struct ring *ring, uint8_t *memory, size_t size);

/* How many bytes are in it, and how many more fit. */
size_t ring_used(const struct ring *ring);
size_t ring_free(const struct ring *ring);

/* Copies as many bytes as fit; answers how many. */
size_t ring_write(struct ring *ring, const void *bytes, size_t count);

/* Takes out up to `count` bytes; answers how many. `bytes` NULL throws them away. */
size_t ring_read(struct ring *ring, void *bytes, size_t count);

/* The distance from the oldest byte to the first `wanted`, or -1. */
ptrdiff_t ring_find(const struct ring *ring, uint8_t wanted);

#endif
