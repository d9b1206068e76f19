// `work` walks over a thousand objects of five kinds in random order: calls through pointers that are hard to predict.
#include "kernel.h"

enum { OBJECTS = 1000, KINDS = 5 };

struct shape;
struct methods {
    u64 (*area)(const struct shape *);
    void (*grow)(struct shape *, u64);
};
struct shape {
    const struct methods *methods;
    u32 width, height;
};

static u64 square_area(const struct shape *s) { return (u64)s->width * s->width; }
static u64 box_area(const struct shape *s) { return (u64)s->width * s->height; }
static u64 triangle_area(const struct shape *s) { return (u64)s->width * s->height / 2; }
static u64 frame_area(const struct shape *s) { return 2 * ((u64)s->width + s->height); }
static u64 dot_area(const struct shape *s) { return s->width & 1; }
static void widen(struct shape *s, u64 by) { s->width += (u32)by & 3; }
static void heighten(struct shape *s, u64 by) { s->height += (u32)by & 5; }
static void swap(struct shape *s, u64 by) {
    u32 width = s->width;
    s->width = s->height + (by & 1 ? 1 : 0), s->height = width;
}

static const struct methods KIND[KINDS] = {
    {square_area, widen}, {box_area, heighten}, {triangle_area, swap}, {frame_area, widen}, {dot_area, heighten},
};
static struct shape shapes[OBJECTS];

static u64 run(u64 work) {
    u64 state = 1, sum = 0;
    for (int i = 0; i < OBJECTS; i++) {
        u64 random = next_random(&state);
        shapes[i] = (struct shape){&KIND[random % KINDS], (u32)(random >> 32) % 100, (u32)(random >> 48) % 100};
    }
    for (u64 i = 0; i < work; i++)
        for (int j = 0; j < OBJECTS; j++) {
            struct shape *shape = &shapes[j];
            sum = sum * 5 + shape->methods->area(shape);
            shape->methods->grow(shape, sum);
        }
    return sum;
}
