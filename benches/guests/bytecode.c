// A small stack machine that runs a loop of its own, `work` turns: a dense switch, so indirect jumps that are hard to predict.
#include "kernel.h"

enum { PUSH, ADD, XOR, DUP, SWAP, SHIFT, DECREMENT, LOOP, END };

static const u8 PROGRAM[] = {
    DUP, SHIFT, XOR, PUSH, 13, ADD, DUP, SHIFT, ADD, SWAP, PUSH, 7, XOR, SWAP, DECREMENT, LOOP, END,
};

static u64 run(u64 work) {
    u64 stack[16] = {1, 2};
    u64 *top = stack + 1, turns = work;
    for (const u8 *at = PROGRAM;;) {
        switch (*at++) {
        case PUSH: *++top = *at++; break;
        case ADD: top--; *top += top[1]; break;
        case XOR: top--; *top ^= top[1]; break;
        case DUP: top++; *top = top[-1]; break;
        case SWAP: { u64 below = top[-1]; top[-1] = *top; *top = below; break; }
        case SHIFT: *top = *top << 5 | *top >> 59; break;
        case DECREMENT: turns--; break;
        case LOOP: if (turns) at = PROGRAM; break;
        case END: return *top;
        }
    }
}
