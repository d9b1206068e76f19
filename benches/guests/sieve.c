// Primes below 2^20, eight times over: byte stores and loads in short loops.
#include "support.h"

enum { LIMIT = 1 << 20, TIMES = 8 };
static unsigned char composite[LIMIT];

static unsigned long run(void) {
    unsigned long count = 0;
    for (int time = 0; time < TIMES; time++) {
        for (long i = 0; i < LIMIT; i++) composite[i] = 0;
        for (long i = 2; i < LIMIT; i++) {
            if (composite[i]) continue;
            count++;
            for (long multiple = i * i; multiple < LIMIT; multiple += i) composite[multiple] = 1;
        }
    }
    return count;
}
