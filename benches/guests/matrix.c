// Product of two 160 x 160 integer matrices, eight times over: multiplication, strided loads.
#include "support.h"

enum { N = 160, TIMES = 8 };
static long a[N][N], b[N][N], c[N][N];

static unsigned long run(void) {
    unsigned long state = 1;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            state = state * 6364136223846793005 + 1442695040888963407;
            a[i][j] = (long)state >> 40;
            b[j][i] = (long)state >> 33;
        }
    for (int time = 0; time < TIMES; time++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                long sum = 0;
                for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        for (int i = 0; i < N; i++) a[i][time] ^= c[time][i];
    }
    unsigned long result = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) result = result * 31 + (unsigned long)c[i][j];
    return result;
}
