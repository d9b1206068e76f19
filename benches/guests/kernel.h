// What every program of the benchmarks has around its kernel: `static u64 run(u64 work)`, defined by the file that
// includes this one, is called once. `work` is the first argument in decimal, 1 without one; the result goes to
// descriptor 1 as 16 hexadecimal digits and a newline. No library, so that both sides run the same source:
//
//   riscv64  a guest of the bare host, or a Linux program for qemu: `ecall`
//   x86-64   its native twin, a static Linux program
//   wasm32   exports `run` and nothing else; so does every target with `-DKERNEL_ONLY`, as `exported_run`
//
// Where the system has a clock, the CPU time of `run` in nanoseconds goes to descriptor 2; the bare host has none.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned __int128 u128;

static u64 run(u64 work);

// A generator of numbers that no compiler foresees (splitmix64).
static inline u64 next_random(u64 *state) {
    u64 x = *state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

// Compilers call these for arrays and structures.
void *memset(void *to, int byte, __SIZE_TYPE__ size) {
    for (__SIZE_TYPE__ i = 0; i < size; i++) ((u8 *)to)[i] = (u8)byte;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, __SIZE_TYPE__ size) {
    for (__SIZE_TYPE__ i = 0; i < size; i++) ((u8 *)to)[i] = ((const u8 *)from)[i];
    return to;
}

#if defined(__wasm__) || defined(KERNEL_ONLY)

#if defined(__wasm__)
// What clang makes of 64 x 64 to 128 bits where the target has no such product.
u128 __multi3(u128 a, u128 b) {
    u64 a_low = (u32)a, a_high = (u64)a >> 32, b_low = (u32)b, b_high = (u64)b >> 32;
    u64 low = a_low * b_low, first = a_high * b_low + (low >> 32), second = a_low * b_high + (u32)first;
    u64 high = a_high * b_high + (first >> 32) + (second >> 32);
    high += (u64)a * (u64)(b >> 64) + (u64)(a >> 64) * (u64)b;
    return (u128)high << 64 | (second << 32 | (u32)low);
}

__attribute__((export_name("run")))
#endif
u64 exported_run(u64 work) {
    return run(work);
}

#else

#if defined(__riscv)

enum { WRITE = 64, EXIT = 93, CLOCK_GETTIME = 113 };

static long system_call(long number, long a, long b, long c) {
    register long a0 asm("a0") = a;
    register long a1 asm("a1") = b;
    register long a2 asm("a2") = c;
    register long a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

asm(".globl _start\n_start:\n.option push\n.option norelax\nla gp, __global_pointer$\n.option pop\n"
    "mv a0, sp\ncall start");

#elif defined(__x86_64__)

enum { WRITE = 1, EXIT = 60, CLOCK_GETTIME = 228 };

static long system_call(long number, long a, long b, long c) {
    asm volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return number;
}

asm(".globl _start\n_start:\nmovq %rsp, %rdi\ncall start");

#endif

// Time that this thread has spent on a CPU, which other work on the machine disturbs less than it disturbs a clock; 0
// where the system does not tell.
static u64 cpu_time_ns(void) {
    enum { THREAD_CPU_TIME = 3 };
    u64 time[2];
    long failed = system_call(CLOCK_GETTIME, THREAD_CPU_TIME, (long)time, 0);
    return failed ? 0 : time[0] * 1000000000 + time[1];
}

static void print(int descriptor, u64 number, unsigned base, int digits) {
    char text[24];
    int at = sizeof text;
    text[--at] = '\n';
    do {
        text[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number || (int)sizeof text - 1 - at < digits);
    system_call(WRITE, descriptor, (long)(text + at), (long)sizeof text - at);
}

// `stack` is what the system leaves at entry: argc, then the arguments' addresses.
__attribute__((used)) void start(const long *stack) {
    u64 work = stack[0] > 1 ? 0 : 1;
    if (stack[0] > 1)
        for (const char *digit = (const char *)stack[2]; *digit; digit++) work = work * 10 + (u64)(*digit - '0');
    u64 begin = cpu_time_ns();
    u64 result = run(work);
    u64 end = cpu_time_ns();
    if (end) print(2, end - begin, 10, 1);
    print(1, result, 16, 16);
    system_call(EXIT, 0, 0, 0);
    __builtin_unreachable();
}

#endif
