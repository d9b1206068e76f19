// 64-bit arithmetic, `work` rounds: a multiplicative hash, Collatz steps, a binary greatest common divisor, a division.
#include "kernel.h"

static u64 hash(u64 x, u64 y) {
    x *= 0xc6a4a7935bd1e995;
    x ^= x >> 47;
    x *= 0xc6a4a7935bd1e995;
    y ^= x;
    return (y << 29 | y >> 35) * 0x9fb21c651e98df25 + 0x52dce729;
}

static u64 collatz(u64 n) {
    u64 steps = 0;
    for (; n != 1; steps++) n = n & 1 ? 3 * n + 1 : n >> 1;
    return steps;
}

static u64 divisor(u64 a, u64 b) {
    if (a == 0 || b == 0) return a | b;
    int twos = __builtin_ctzll(a | b);
    a >>= __builtin_ctzll(a);
    while (b) {
        b >>= __builtin_ctzll(b);
        u64 smaller = a < b ? a : b;
        b = a < b ? b - a : a - b;
        a = smaller;
    }
    return a << twos;
}

static u64 run(u64 work) {
    u64 x = 1, y = 2;
    for (u64 i = 0; i < work; i++) {
        for (int j = 0; j < 64; j++) y = hash(x, y), x += y >> 5;
        x ^= collatz(i % 1000 + 27);
        x += divisor(x, y) + y / (x >> 40 | 1);
    }
    return x ^ y;
}
