// Floating point as compilers use it: bodies that attract each other (double), an escape-time fractal (double), a blur
// (single), conversions and libm-like series. Prints the bits of what it comes to, and exits with 0.
//
// Built by build.sh with fused operations (-ffp-contract=fast) and without, each with a reader of exceptions (OBSERVED) and
// without.

typedef unsigned long u64;
typedef unsigned int u32;

static long system_call(long number, long a, long b, long c) {
    register long a0 asm("a0") = a;
    register long a1 asm("a1") = b;
    register long a2 asm("a2") = c;
    register long a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

static char line[64];

__attribute__((noinline)) static void print(const char *name, u64 bits) {
    int length = 0;
    while (*name) line[length++] = *name++;
    line[length++] = ' ';
    for (int shift = 60; shift >= 0; shift -= 4) line[length++] = "0123456789abcdef"[bits >> shift & 15];
    line[length++] = '\n';
    system_call(64, 1, (long)line, length);
}

static u64 bits_of(double value) {
    u64 bits;
    __builtin_memcpy(&bits, &value, 8);
    return bits;
}

static u64 state = 88172645463325252;

static u64 next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

// In [-1, 1).
static double uniform(void) { return (double)(long)next() * 0x1p-63; }

enum { BODIES = 6 };
static struct body {
    double at[3], speed[3], mass;
} bodies[BODIES];

__attribute__((noinline)) static double energy(void) {
    double sum = 0;
    for (int i = 0; i < BODIES; i++) {
        double square = 0;
        for (int k = 0; k < 3; k++) square += bodies[i].speed[k] * bodies[i].speed[k];
        sum += 0.5 * bodies[i].mass * square;
        for (int j = i + 1; j < BODIES; j++) {
            double distance = 0;
            for (int k = 0; k < 3; k++) {
                double d = bodies[i].at[k] - bodies[j].at[k];
                distance += d * d;
            }
            sum -= bodies[i].mass * bodies[j].mass / __builtin_sqrt(distance);
        }
    }
    return sum;
}

__attribute__((noinline)) static void advance(double step) {
    for (int i = 0; i < BODIES; i++) {
        for (int j = i + 1; j < BODIES; j++) {
            double d[3], square = 0.01;
            for (int k = 0; k < 3; k++) {
                d[k] = bodies[i].at[k] - bodies[j].at[k];
                square += d[k] * d[k];
            }
            double pull = step / (square * __builtin_sqrt(square));
            for (int k = 0; k < 3; k++) {
                bodies[i].speed[k] -= d[k] * bodies[j].mass * pull;
                bodies[j].speed[k] += d[k] * bodies[i].mass * pull;
            }
        }
    }
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++) bodies[i].at[k] += step * bodies[i].speed[k];
}

static void attract(int steps) {
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++) {
            bodies[i].at[k] = 10 * uniform();
            bodies[i].speed[k] = uniform();
        }
        bodies[i].mass = 1 + uniform();
    }
    print("energy before", bits_of(energy()));
    for (int i = 0; i < steps; i++) advance(0.001);
    print("energy after", bits_of(energy()));
}

static void fractal(int size) {
    u64 turns = 0, hash = 0;
    for (int row = 0; row < size; row++) {
        for (int column = 0; column < size; column++) {
            double cr = 2.0 * column / size - 1.5, ci = 2.0 * row / size - 1.0, r = 0, i = 0;
            int turn = 0;
            for (; turn < 50 && r * r + i * i <= 4; turn++) {
                double square = r * r - i * i + cr;
                i = 2 * r * i + ci;
                r = square;
            }
            turns += turn;
            hash = hash * 31 + turn;
        }
    }
    print("fractal turns", turns);
    print("fractal hash", hash);
}

// What compilers take for fmaxf where signals of NaNs do not matter.
static float larger(float a, float b) {
    float result;
    asm("fmax.s %0, %1, %2" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

static float image[64 * 64], blurred[64 * 64];

static void blur(int rounds) {
    for (int i = 0; i < 64 * 64; i++) image[i] = (float)uniform();
    for (int round = 0; round < rounds; round++) {
        for (int y = 1; y < 63; y++)
            for (int x = 1; x < 63; x++) {
                float *p = &image[y * 64 + x];
                float sum = p[0] * 0.25f + (p[-1] + p[1] + p[-64] + p[64]) * 0.125f;
                blurred[y * 64 + x] = larger(sum / 0.75f, -0.5f);
            }
        for (int i = 0; i < 64 * 64; i++) image[i] = blurred[i];
    }
    double total = 0;
    u32 hash = 0;
    for (int i = 0; i < 64 * 64; i++) {
        u32 bits;
        __builtin_memcpy(&bits, &image[i], 4);
        hash = hash * 31 + bits;
        total += image[i];
    }
    print("blur hash", hash);
    print("blur total", bits_of(total));
}

// Passes doubles in registers, through recursion.
__attribute__((noinline)) static double series(double x, double term, int n) {
    if (n > 40 || __builtin_fabs(term) < 1e-18) return term;
    return term + series(x, term * x / n, n + 1);
}

static void convert(int rounds) {
    u64 hash = 0;
    for (int i = 0; i < rounds; i++) {
        u64 bits = next();
        double value;
        __builtin_memcpy(&value, &bits, 8);
        hash = hash * 31 + (u64)(long)value;
        hash = hash * 31 + (u32)(int)(float)value;
        hash = hash * 31 + bits_of((double)(u32)bits) + bits_of((double)(float)value);
        hash = hash * 31 + bits_of(value * uniform()) + (value < uniform());
    }
    print("conversions", hash);
}

void start(void) {
    attract(SCALE * 20);
    fractal(SCALE * 4);
    blur(SCALE);
    double sum = 0;
    for (int i = 0; i < SCALE * 10; i++) sum += series(uniform() * 4, 1, 1);
    print("exponentials", bits_of(sum));
    convert(SCALE * 20);
    system_call(93, 0, 0, 0);
    __builtin_unreachable();
}

asm(".globl _start\n_start:\n.option push\n.option norelax\nla gp, __global_pointer$\n.option pop\ncall start");

#ifdef OBSERVED
// Nobody comes here; but nobody can know that.
asm("frflags a0\nret");
#endif
