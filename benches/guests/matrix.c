// Product of two 160 x 160 integer matrices, `work` times over: multiplication, strided loads.
#include "kernel.h"

enum { N = 160 };
static long long a[N][N], b[N][N], c[N][N];

static u64 run(u64 work) {
    u64 state = 1;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            state = state * 6364136223846793005 + 1442695040888963407;
            a[i][j] = (long long)state >> 40;
            b[j][i] = (long long)state >> 33;
        }
    for (u64 time = 0; time < work; time++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                long long sum = 0;
                for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        for (int i = 0; i < N; i++) a[i][time % N] ^= c[time % N][i];
    }
    u64 result = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) result = result * 31 + (u64)c[i][j];
    return result;
}
