// Primes below 2^18, `work` times over: byte stores and loads in short loops.
#include "kernel.h"

enum { LIMIT = 1 << 18 };
static u8 composite[LIMIT];

static u64 run(u64 work) {
    u64 count = 0;
    for (u64 time = 0; time < work; time++) {
        for (long long i = 0; i < LIMIT; i++) composite[i] = 0;
        for (long long i = 2; i < LIMIT; i++) {
            if (composite[i]) continue;
            count++;
            for (long long multiple = i * i; multiple < LIMIT; multiple += i) composite[multiple] = 1;
        }
    }
    return count;
}
