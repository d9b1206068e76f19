// `work` Montgomery multiplications modulo the prime of curve secp256k1: 64 x 64 to 128 bits, carries.
#include "kernel.h"

enum { LIMBS = 4 };
static const u64 PRIME[LIMBS] = {0xfffffffefffffc2f, ~0ull, ~0ull, ~0ull};
static const u64 NEGATED_INVERSE = 0xd838091dd2253531;

// r = a * b / 2^256 mod p, for a and b below p.
__attribute__((noinline)) static void multiply(u64 r[LIMBS], const u64 a[LIMBS], const u64 b[LIMBS]) {
    u64 t[LIMBS + 2] = {0};
    for (int i = 0; i < LIMBS; i++) {
        u64 carry = 0;
        for (int j = 0; j < LIMBS; j++) {
            u128 sum = (u128)a[j] * b[i] + t[j] + carry;
            t[j] = (u64)sum, carry = (u64)(sum >> 64);
        }
        u128 top = (u128)t[LIMBS] + carry;
        t[LIMBS] = (u64)top, t[LIMBS + 1] = (u64)(top >> 64);
        u64 m = t[0] * NEGATED_INVERSE;
        carry = (u64)(((u128)m * PRIME[0] + t[0]) >> 64);
        for (int j = 1; j < LIMBS; j++) {
            u128 sum = (u128)m * PRIME[j] + t[j] + carry;
            t[j - 1] = (u64)sum, carry = (u64)(sum >> 64);
        }
        top = (u128)t[LIMBS] + carry;
        t[LIMBS - 1] = (u64)top, t[LIMBS] = t[LIMBS + 1] + (u64)(top >> 64);
    }
    u64 less[LIMBS], borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        u128 difference = (u128)t[i] - PRIME[i] - borrow;
        less[i] = (u64)difference, borrow = (u64)(difference >> 64) & 1;
    }
    u64 keep = 0 - (u64)(t[LIMBS] < borrow);
    for (int i = 0; i < LIMBS; i++) r[i] = (t[i] & keep) | (less[i] & ~keep);
}

static u64 run(u64 work) {
    u64 x[LIMBS] = {1, 2, 3, 4}, y[LIMBS] = {5, 6, 7, 8};
    for (u64 i = 0; i < work; i += 2) {
        multiply(x, x, y);
        multiply(y, y, x);
    }
    return x[0] ^ x[1] ^ y[2] ^ y[3];
}
