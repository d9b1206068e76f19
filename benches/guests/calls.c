// Recursive Fibonacci, the 24th number `work` times: calls, returns, stack traffic.
#include "kernel.h"

__attribute__((noinline)) static u64 fibonacci(u64 n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static u64 run(u64 work) {
    u64 sum = 0;
    for (u64 i = 0; i < work; i++) sum = sum * 3 + fibonacci(24 - i % 2);
    return sum;
}
