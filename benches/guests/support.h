// A guest of the benchmarks defines `unsigned long run(void)`; its result is written to descriptor 1 as 8 bytes.

static unsigned long run(void);

static long system_call(long number, long a, long b, long c) {
    register long a0 asm("a0") = a;
    register long a1 asm("a1") = b;
    register long a2 asm("a2") = c;
    register long a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

void start(void) {
    unsigned long result = run();
    long written = system_call(64, 1, (long)&result, sizeof result);
    system_call(93, written == sizeof result ? 0 : 1, 0, 0);
    __builtin_unreachable();
}

asm(".globl _start\n_start:\n.option push\n.option norelax\nla gp, __global_pointer$\n.option pop\ncall start");
