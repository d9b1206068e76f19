// A guest with text, constants, data and bss, for tests of the loader. build.sh makes hello-gcc.elf and hello-lld.elf.

int counter = 41;
static volatile int table[2000];
static const char GREETING[] = "hello\n";

static long system_call(long number, long a, long b, long c) {
    register long a0 asm("a0") = a;
    register long a1 asm("a1") = b;
    register long a2 asm("a2") = c;
    register long a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

__attribute__((noinline)) int work(int by) {
    table[by] = counter + by;
    return table[by];
}

void _start(void) {
    asm volatile(".option push; .option norelax; la gp, __global_pointer$; .option pop");
    system_call(64, 1, (long)GREETING, sizeof GREETING - 1);
    system_call(93, work(1), 0, 0);
    __builtin_unreachable();
}
