// Ten thousand random numbers sorted, `work` times: unpredictable branches, swaps, recursion.
#include "kernel.h"

enum { SIZE = 10000, SMALL = 12 };
static u64 numbers[SIZE];

static void sort(u64 *low, u64 *high) {
    while (high - low > SMALL) {
        u64 a = *low, b = low[(high - low) / 2], c = *high;
        u64 pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        u64 *left = low - 1, *right = high + 1;
        for (;;) {
            do left++;
            while (*left < pivot);
            do right--;
            while (*right > pivot);
            if (left >= right) break;
            u64 swapped = *left;
            *left = *right, *right = swapped;
        }
        sort(low, right);
        low = right + 1;
    }
    for (u64 *next = low + 1; next <= high; next++) {
        u64 moved = *next, *at = next;
        for (; at > low && at[-1] > moved; at--) *at = at[-1];
        *at = moved;
    }
}

static u64 run(u64 work) {
    u64 state = 1, sum = 0;
    for (u64 i = 0; i < work; i++) {
        for (int j = 0; j < SIZE; j++) numbers[j] = next_random(&state);
        sort(numbers, numbers + SIZE - 1);
        for (int j = 0; j < SIZE; j += 100) sum = sum * 31 + numbers[j];
    }
    return sum;
}
