#include "check.h"
#include "ring.h"

#include <string.h>

static void fifo(void) {
    uint8_t memory[8], out[8] = {0};
    struct ring ring;
    ring_init(&ring, memory, sizeof memory);
    CHECK(ring_write(&ring, "abc", 3) == 3);
    CHECK(ring_used(&ring) == 3 && ring_free(&ring) == 5);
    CHECK(ring_read(&ring, out, 8) == 3);
    CHECK(memcmp(out, "abc", 3) == 0);
}

static void wraps_around(void) {
    uint8_t memory[8], out[8] = {0};
    struct ring ring;
    ring_init(&ring, memory, sizeof memory);
    ring_write(&ring, "123456", 6);
    ring_read(&ring, out, 5);
    CHECK(ring_write(&ring, "abcdef", 6) == 6);
    CHECK(ring_write(&ring, "XY", 2) == 1);
    CHECK(ring_read(&ring, out, 8) == 8);
    CHECK(memcmp(out, "6abcdefX", 8) == 0);
}

static void finds_across_the_end(void) {
    uint8_t memory[8], out[8];
    struct ring ring;
    ring_init(&ring, memory, sizeof memory);
    ring_write(&ring, "xxxxxx", 6);
    ring_read(&ring, out, 6);
    ring_write(&ring, "ab\ncd", 5);
    CHECK(ring_find(&ring, '\n') == 2);
}

int main(void) {
    fifo();
    wraps_around();
    finds_across_the_end();
    puts("3 tests passed");
    return 0;
}
