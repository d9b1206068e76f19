// A guest for tests of profiles and backtraces: a loop worth finding, and a trap below several frames.

static void leave(long status) {
    register long a0 asm("a0") = status;
    register long a7 asm("a7") = 93;
    asm volatile("ecall" : : "r"(a0), "r"(a7) : "memory");
    __builtin_unreachable();
}

// The hot one.
__attribute__((noinline)) unsigned long mix(unsigned long state, long rounds) {
    for (long i = 0; i < rounds; i++) {
        state ^= state << 13; // hot line
        state ^= state >> 7;
        state ^= state << 17;
    }
    return state;
}

__attribute__((noinline)) unsigned long work(long times) {
    unsigned long state = 88172645463325252u;
    for (long i = 0; i < times; i++) state = mix(state, 1000) + 1;
    return state;
}

__attribute__((noinline)) long store(long *where) {
    *where = 1; // trap
    return *where + 1;
}

static inline __attribute__((always_inline)) long twice(long *where) {
    return store(where) + store(where + 1); // inlined
}

__attribute__((noinline)) long deep(long n, long *where) {
    if (n == 0) return twice(where) + 1;
    return deep(n - 1, where) + n; // again
}

static long number(const char *text) {
    long n = 0;
    while (*text >= '0' && *text <= '9') n = 10 * n + (*text++ - '0');
    return n;
}

// hot.elf TIMES | hot.elf trap
void start(long *stack) {
    char **words = (char **)(stack + 1);
    const char *word = stack[0] > 1 ? words[1] : "1";
    if (*word == 't') leave(deep(3, (long *)64));
    if (*word == 'n') leave(((long (*)(long))8)(1) + 1);
    leave(work(number(word)) == 0);
}

asm(".globl _start\n_start: mv a0, sp\n call start");
