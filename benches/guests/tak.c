// Takeuchi's function, `work` times: calls with three arguments and results that are arguments.
#include "kernel.h"

__attribute__((noinline)) static long tak(long x, long y, long z) {
    return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}

static u64 run(u64 work) {
    u64 sum = 0;
    for (u64 i = 0; i < work; i++) sum = sum * 3 + (u64)tak(14 + (long)(i % 2), 10, 4);
    return sum;
}
