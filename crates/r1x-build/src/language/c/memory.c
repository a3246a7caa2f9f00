/* An allocator that forgets everything at once, and the functions that compilers call by themselves. */
#include "r1x_memory.h"

#define PAGE 65536

extern unsigned char __heap_base;

static uintptr_t next, kept;

void *r1x_aligned(size_t bytes, size_t align) {
    if (!next) next = kept = (uintptr_t)&__heap_base;
    uintptr_t start = (next + align - 1) & ~(uintptr_t)(align - 1);
    uintptr_t room = __builtin_wasm_memory_size(0) * (uintptr_t)PAGE;
    /* Compared without sums, which could run over the end of the address space. */
    if (start < next || bytes > UINTPTR_MAX - start) __builtin_trap();
    if (bytes > room || start > room - bytes) {
        size_t pages = (start + bytes - room + PAGE - 1) / PAGE;
        /* The host has noted that it refused, and says so. */
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) __builtin_trap();
    }
    next = start + bytes;
    return (void *)start;
}

void *r1x_alloc(size_t bytes) {
    return memset(r1x_aligned(bytes, 16), 0, bytes);
}

void r1x_release(void) {
    next = kept;
}

void r1x_keep(void) {
    kept = next;
}

/* Compiled with bulk memory, so that these are one instruction each and not calls of themselves. */

void *memcpy(void *to, const void *from, size_t bytes) {
    return __builtin_memcpy(to, from, bytes);
}

void *memmove(void *to, const void *from, size_t bytes) {
    return __builtin_memmove(to, from, bytes);
}

void *memset(void *to, int value, size_t bytes) {
    return __builtin_memset(to, value, bytes);
}

int memcmp(const void *a, const void *b, size_t bytes) {
    const unsigned char *left = a, *right = b;
    for (size_t at = 0; at < bytes; at++) {
        if (left[at] != right[at]) return left[at] < right[at] ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}
