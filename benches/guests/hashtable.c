// `work` thousand inserts, lookups and removals in a table with open addressing: data-dependent loads, short probes.
#include "kernel.h"

enum { SLOTS = 1 << 14, KEYS = 1 << 14 };
static struct slot {
    u64 key, value; // key 0: free
} slots[SLOTS];

static u64 home(u64 key) {
    return key * 0x9e3779b97f4a7c15 >> 50;
}

// The slot of `key`, or the free one where it belongs.
static u64 find(u64 key) {
    u64 at = home(key);
    while (slots[at].key != key && slots[at].key != 0) at = (at + 1) % SLOTS;
    return at;
}

// Frees a slot and moves back what was pushed past it.
static void empty(u64 hole) {
    for (u64 at = (hole + 1) % SLOTS; slots[at].key; at = (at + 1) % SLOTS)
        if ((at - home(slots[at].key)) % SLOTS >= (at - hole) % SLOTS) {
            slots[hole] = slots[at];
            hole = at;
        }
    slots[hole].key = 0;
}

static u64 run(u64 work) {
    u64 state = 1, sum = 0;
    for (u64 i = 0; i < work * 1000; i++) {
        u64 random = next_random(&state);
        u64 key = 1 + random % KEYS, at = find(key);
        if (slots[at].key == 0) {
            if (random >> 62 != 0) slots[at] = (struct slot){key, i};
        } else if (random >> 62 == 0) {
            empty(at);
        } else {
            sum += slots[at].value++;
        }
    }
    return sum;
}
