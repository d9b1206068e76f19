// Text, byte by byte, `work` times over 16 KiB: UTF-8 decoded, letters rotated by 13, a histogram, a CRC by table.
#include "kernel.h"

enum { SIZE = 1 << 14 };
static u8 text[SIZE + 4];
static u32 histogram[256], crc_table[256];

static void fill(void) {
    u64 state = 1;
    int at = 0;
    while (at < SIZE) {
        u64 random = next_random(&state);
        u32 kind = (u32)(random >> 32) % 10, point = (u32)random;
        if (kind < 7 || SIZE - at < 3) {
            text[at++] = (u8)(32 + point % 95);
        } else if (kind < 9) {
            text[at++] = (u8)(0xc2 + point % 30);
            text[at++] = (u8)(0x80 + (point >> 8) % 64);
        } else {
            text[at++] = (u8)(0xe1 + point % 12);
            text[at++] = (u8)(0x80 + (point >> 8) % 64);
            text[at++] = (u8)(0x80 + (point >> 16) % 64);
        }
    }
}

static u64 decode(void) {
    u64 sum = 0;
    for (const u8 *at = text; at < text + SIZE;) {
        u32 first = *at++;
        if (first >= 0xe0) {
            first = (first & 15) << 12 | (at[0] & 63u) << 6 | (at[1] & 63u);
            at += 2;
        } else if (first >= 0x80) {
            first = (first & 31) << 6 | (at[0] & 63u);
            at++;
        }
        sum = sum * 31 + first;
    }
    return sum;
}

static void rotate(void) {
    for (int i = 0; i < SIZE; i++) {
        u8 letter = text[i] | 32;
        if (letter >= 'a' && letter <= 'z') text[i] = (u8)(text[i] + (letter <= 'm' ? 13 : -13));
    }
}

static u32 crc(void) {
    u32 value = ~0u;
    for (int i = 0; i < SIZE; i++) value = value >> 8 ^ crc_table[(value ^ text[i]) & 255];
    return ~value;
}

static u64 run(u64 work) {
    u64 sum = 0;
    fill();
    for (u32 i = 0; i < 256; i++) {
        crc_table[i] = i;
        for (int bit = 0; bit < 8; bit++) crc_table[i] = crc_table[i] >> 1 ^ (crc_table[i] & 1 ? 0xedb88320 : 0);
    }
    for (u64 i = 0; i < work; i++) {
        rotate();
        for (int j = 0; j < SIZE; j++) histogram[text[j]]++;
        sum = sum * 31 + decode() + ((u64)crc() << 32 | histogram['e']);
    }
    return sum;
}
