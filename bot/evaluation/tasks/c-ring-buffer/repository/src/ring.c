#include "ring.h"

#include <string.h>

static size_t smaller(size_t one, size_t other) { return one < other ? one : other; }

void ring_init(struct ring *ring, uint8_t *memory, size_t size) {
    ring->memory = memory;
    ring->size = size;
    ring->start = 0;
    ring->used = 0;
}

size_t ring_used(const struct ring *ring) { return ring->used; }

size_t ring_free(const struct ring *ring) { return ring->size - ring->used; }

size_t ring_write(struct ring *ring, const void *bytes, size_t count) {
    count = smaller(count, ring_free(ring));
    size_t end = ring->start + ring->used;
    size_t first = smaller(count, ring->size - end);
    memcpy(ring->memory + end, bytes, first);
    memcpy(ring->memory, (const uint8_t *)bytes + first, count - first);
    ring->used += count;
    return count;
}

size_t ring_read(struct ring *ring, void *bytes, size_t count) {
    count = smaller(count, ring->used);
    size_t first = smaller(count, ring->size - ring->start);
    memcpy(bytes, ring->memory + ring->start, first);
    memcpy((uint8_t *)bytes + first, ring->memory, count - first);
    ring->start = (ring->start + count) % ring->size;
    ring->used -= count;
    return count;
}

ptrdiff_t ring_find(const struct ring *ring, uint8_t wanted) {
    const uint8_t *found = memchr(ring->memory + ring->start, wanted, ring->used);
    return found ? found - (ring->memory + ring->start) : -1;
}
