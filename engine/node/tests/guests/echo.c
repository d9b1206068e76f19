// A guest for tests of `millrace run`: shows its stack's vector, tries the system calls, ends as the last argument says.

static long system_call(long number, long a, long b, long c) {
    register long a0 asm("a0") = a;
    register long a1 asm("a1") = b;
    register long a2 asm("a2") = c;
    register long a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

static long length(const char *text) {
    long n = 0;
    while (text[n]) n++;
    return n;
}

static void say(int descriptor, const char *text) {
    system_call(64, descriptor, (long)text, length(text));
}

__attribute__((noinline)) void poke(volatile int *where) {
    *where = 1;
}

void start(long *stack) {
    long count = stack[0];
    char **words = (char **)(stack + 1);
    // Words behind argv: its end, the environment's end, the auxiliary vector's end.
    long ends = (long)words[count] | (long)words[count + 1] | (long)words[count + 2] | (long)words[count + 3];
    const char *last = words[count - 1];
    if ((long)stack % 16 != 0) system_call(93, 70, 0, 0);
    if (system_call(9999, 0, 0, 0) != -38 || system_call(64, 1, 0, 0) != 0) system_call(93, 71, 0, 0);
    // Under Linux there may be more: an environment, an auxiliary vector, open descriptors, other calls.
    int bare = system_call(64, 0, (long)"", 0) == -9 && system_call(64, 3, (long)"", 0) == -9 &&
        system_call(63, 0, 0, 0) == -38 && ends == 0;
    if (last[0] == 'b' && !bare) system_call(93, 72, 0, 0);
    for (long i = 1; i < count; i++) {
        say(1, "[");
        say(1, words[i]);
        say(1, "]\n");
    }
    say(2, "to stderr\n");
    if (last[0] == 'p') poke((int *)16);
    if (last[0] == 'i') asm volatile(".half 0");
    if (last[0] == 'f') ((void (*)(void))8)();
    if (last[0] == 'w') system_call(64, 1, 4096, 1);
    if (last[0] == 'l') for (;;) asm volatile("");
    if (last[0] == 'O') for (int i = 0; i < 20000; i++) say(1, "0123456789\n");
    system_call(last[0] == 'g' ? 94 : 93, 256 + 40 + count, 0, 0);
}

asm(".globl _start\n_start: mv a0, sp\n call start");
