// Recursive Fibonacci: calls, returns, stack traffic.
#include "support.h"

__attribute__((noinline)) static unsigned long fibonacci(unsigned long n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static unsigned long run(void) {
    return fibonacci(32);
}
