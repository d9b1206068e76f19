// Every way to place eight queens that do not meet, `work` times, by column array and comparison: short loops with
// branches that depend on data, recursion.
#include "kernel.h"

enum { N = 8 };
static int row_of[N];

static int is_free(int column, int row) {
    for (int other = 0; other < column; other++) {
        int distance = row_of[other] - row;
        if (distance == 0 || distance == column - other || distance == other - column) return 0;
    }
    return 1;
}

static u64 place(int column, u64 sum) {
    if (column == N) {
        for (int i = 0; i < N; i++) sum = sum * 31 + (u64)row_of[i];
        return sum;
    }
    for (int row = 0; row < N; row++)
        if (is_free(column, row)) {
            row_of[column] = row;
            sum = place(column + 1, sum);
        }
    return sum;
}

static u64 run(u64 work) {
    u64 sum = 1;
    for (u64 i = 0; i < work; i++) sum = place(0, sum);
    return sum;
}
