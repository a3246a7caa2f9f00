/* Between decimal and binary, exactly: large whole numbers, and rounding once at the end.
 *
 * Every reader of JSON gives the double that is nearest to what is written; a reward that did not would find
 * 0.1 unequal to 0.1. */
#include "r1x_memory.h"

/* Limbs of 32 bits. A double's decimal expansion has at most 1 075 + 64 bits before and after rounding; of what
 * is written the first KEPT digits count, with the power of ten below them. */
#define LIMBS 256
#define KEPT 770
#define TOO_LARGE 310
#define TOO_SMALL (-326)

typedef struct {
    uint32_t limbs[LIMBS]; /* the lowest first */
    unsigned used;
} big;

static void multiply_add(big *n, uint32_t factor, uint32_t carry) {
    uint64_t rest = carry;
    for (unsigned at = 0; at < n->used; at++) {
        rest += (uint64_t)n->limbs[at] * factor;
        n->limbs[at] = (uint32_t)rest;
        rest >>= 32;
    }
    if (rest) n->limbs[n->used++] = (uint32_t)rest;
}

static void multiply_ten(big *n, long power) {
    for (; power >= 9; power -= 9) multiply_add(n, 1000000000, 0);
    for (; power > 0; power--) multiply_add(n, 10, 0);
}

static void shift_left(big *n, unsigned bits) {
    unsigned limbs = bits / 32, rest = bits % 32;
    if (n->used == 0) return;
    if (rest) multiply_add(n, (uint32_t)1 << rest, 0);
    memmove(n->limbs + limbs, n->limbs, n->used * sizeof *n->limbs);
    memset(n->limbs, 0, limbs * sizeof *n->limbs);
    n->used += limbs;
}

static unsigned bit_length(const big *n) {
    if (n->used == 0) return 0;
    return 32 * n->used - (unsigned)__builtin_clz(n->limbs[n->used - 1]);
}

static int compare(const big *a, const big *b) {
    if (a->used != b->used) return a->used < b->used ? -1 : 1;
    for (unsigned at = a->used; at-- > 0;) {
        if (a->limbs[at] != b->limbs[at]) return a->limbs[at] < b->limbs[at] ? -1 : 1;
    }
    return 0;
}

static void subtract(big *a, const big *b) {
    int64_t borrow = 0;
    for (unsigned at = 0; at < a->used; at++) {
        borrow += (int64_t)a->limbs[at] - (at < b->used ? b->limbs[at] : 0);
        a->limbs[at] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (a->used && a->limbs[a->used - 1] == 0) a->used--;
}

/* Divides by a small number and returns the remainder. */
static uint32_t divide_small(big *n, uint32_t by) {
    uint64_t rest = 0;
    for (unsigned at = n->used; at-- > 0;) {
        rest = rest << 32 | n->limbs[at];
        n->limbs[at] = (uint32_t)(rest / by);
        rest %= by;
    }
    while (n->used && n->limbs[n->used - 1] == 0) n->used--;
    return (uint32_t)rest;
}

/* m * 2^e for 0 < m < 2^55, rounded to nearest, ties to even; `more` says that the value is a little larger. */
static double scaled(uint64_t m, int e, bool more) {
    /* Doubles have 53 bits down to 2^-1074; what is below is cut off here. */
    int drop = 64 - __builtin_clzll(m) - 53;
    if (e + drop < -1074) drop = -1074 - e;
    if (drop > 60) return 0;
    if (drop > 0) {
        uint64_t half = (uint64_t)1 << (drop - 1), low = m & (2 * half - 1);
        m >>= drop;
        if (low > half || (low == half && (more || (m & 1)))) m++;
        e += drop;
    }
    if (m == 0) return 0;
    if (m >> 53) m >>= 1, e++;
    if (64 - __builtin_clzll(m) + e > 1024) return __builtin_inf();
    /* Normal numbers have their leading bit hidden; for the others the exponent's field is 0. */
    while (!(m >> 52) && e > -1074) m <<= 1, e--;
    uint64_t field = m >> 52 ? (uint64_t)(e + 1075) : 0;
    union {
        uint64_t bits;
        double value;
    } out = {field << 52 | (m & (((uint64_t)1 << 52) - 1))};
    return out.value;
}

double r1x_decimal(const char *digits, size_t count, long exponent) {
    if (count == 0 || (long)count + exponent < TOO_SMALL) return 0;
    if ((long)count + exponent > TOO_LARGE) return __builtin_inf();
    bool cut = false;
    for (size_t at = KEPT; at < count; at++) cut |= digits[at] != '0';
    if (count > KEPT) {
        exponent += (long)(count - KEPT);
        count = KEPT;
    }
    big *top = r1x_alloc(2 * sizeof *top), *bottom = top + 1;
    bottom->limbs[0] = bottom->used = 1;
    for (size_t at = 0; at < count; at++) multiply_add(top, 10, (uint32_t)(digits[at] - '0'));
    /* A few zeros of a cut number stand for what was cut; anything above 0 would do, as KEPT digits decide. */
    if (cut) multiply_add(top, 10, 1), exponent--;
    multiply_ten(exponent >= 0 ? top : bottom, exponent >= 0 ? exponent : -exponent);
    /* A quotient of 54 bits, or 53 and a remainder, is enough to round by. */
    int e = (int)bit_length(top) - (int)bit_length(bottom) - 54;
    shift_left(e < 0 ? top : bottom, (unsigned)(e < 0 ? -e : e));
    shift_left(bottom, 54);
    uint64_t quotient = 0;
    for (int bit = 54; bit >= 0; bit--) {
        quotient <<= 1;
        if (compare(top, bottom) >= 0) subtract(top, bottom), quotient |= 1;
        shift_left(top, 1);
    }
    return scaled(quotient, e, top->used != 0);
}

size_t r1x_fixed(double value, unsigned places, char *out) {
    union {
        double value;
        uint64_t bits;
    } in = {value};
    int e = (int)(in.bits >> 52 & 2047);
    uint64_t m = in.bits & (((uint64_t)1 << 52) - 1);
    if (e) m |= (uint64_t)1 << 52;
    e = (e ? e : 1) - 1075;
    big *n = r1x_alloc(sizeof *n);
    n->limbs[0] = (uint32_t)m;
    n->limbs[1] = (uint32_t)(m >> 32);
    n->used = m >> 32 ? 2 : m != 0;
    multiply_ten(n, (long)places);
    if (e > 0) shift_left(n, (unsigned)e);
    /* Halves at a time: what falls off decides the rounding of the last one. */
    bool half = false, rest = false;
    for (; e < 0; e++) {
        rest |= half;
        half = divide_small(n, 2);
    }
    if (half && (rest || (n->used && (n->limbs[0] & 1)))) {
        if (n->used == 0) n->limbs[n->used++] = 0;
        multiply_add(n, 1, 1);
    }
    char backwards[400];
    size_t length = 0;
    /* At least one digit before the point, and the point where there are places. */
    size_t least = places ? places + 2 : 1;
    while (n->used || length < least) {
        backwards[length++] = (char)('0' + divide_small(n, 10));
        if (places && length == places) backwards[length++] = '.';
    }
    size_t written = 0;
    if (in.bits >> 63) out[written++] = '-';
    while (length) out[written++] = backwards[--length];
    return written;
}
