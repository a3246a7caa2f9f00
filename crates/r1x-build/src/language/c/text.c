/* Helpers on pieces of text. */
#include "r1x_memory.h"

r1x_text r1x_text_of(const char *zero_ended) {
    return (r1x_text){zero_ended, strlen(zero_ended)};
}

bool r1x_equal(r1x_text a, r1x_text b) {
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

bool r1x_starts(r1x_text text, r1x_text start) {
    return r1x_equal(r1x_slice(text, 0, start.length), start);
}

bool r1x_ends(r1x_text text, r1x_text end) {
    return text.length >= end.length && r1x_equal(r1x_slice(text, text.length - end.length, text.length), end);
}

bool r1x_has(r1x_text text, r1x_text piece) {
    return r1x_find(text, piece, 0) != R1X_NOWHERE;
}

/* Linear in the text whatever the piece: a pattern such as a hundred equal letters must not let a completion
 * of a megabyte take minutes. `fallback[n]` is the longest proper start of the first n bytes of the piece that
 * also ends them. */
size_t r1x_find(r1x_text text, r1x_text piece, size_t from) {
    if (from > text.length || piece.length > text.length - from) return R1X_NOWHERE;
    if (piece.length == 0) return from;
    size_t *fallback = r1x_alloc((piece.length + 1) * sizeof *fallback);
    for (size_t end = 1, matched = 0; end < piece.length; end++) {
        while (matched && piece.data[end] != piece.data[matched]) matched = fallback[matched];
        if (piece.data[end] == piece.data[matched]) matched++;
        fallback[end + 1] = matched;
    }
    for (size_t at = from, matched = 0; at < text.length; at++) {
        while (matched && text.data[at] != piece.data[matched]) matched = fallback[matched];
        if (text.data[at] == piece.data[matched]) matched++;
        if (matched == piece.length) return at + 1 - matched;
    }
    return R1X_NOWHERE;
}

size_t r1x_find_last(r1x_text text, r1x_text piece) {
    if (piece.length > text.length) return R1X_NOWHERE;
    for (size_t at = text.length - piece.length + 1; at-- > 0;) {
        if (memcmp(text.data + at, piece.data, piece.length) == 0) return at;
    }
    return R1X_NOWHERE;
}

r1x_text r1x_slice(r1x_text text, size_t from, size_t to) {
    if (to > text.length) to = text.length;
    if (from > to) from = to;
    return (r1x_text){text.data + from, to - from};
}

bool r1x_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool r1x_is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool r1x_is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

r1x_text r1x_trim(r1x_text text) {
    size_t from = 0, to = text.length;
    while (from < to && r1x_is_space(text.data[from])) from++;
    while (from < to && r1x_is_space(text.data[to - 1])) to--;
    return r1x_slice(text, from, to);
}

r1x_text r1x_lower(r1x_text text) {
    char *copy = r1x_aligned(text.length, 1);
    for (size_t at = 0; at < text.length; at++) {
        char c = text.data[at];
        copy[at] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
    }
    return (r1x_text){copy, text.length};
}

bool r1x_between_last(r1x_text text, r1x_text open, r1x_text close, r1x_text *inside) {
    size_t start = r1x_find_last(text, open);
    if (start == R1X_NOWHERE) return false;
    start += open.length;
    size_t end = r1x_find(text, close, start);
    if (end == R1X_NOWHERE) return false;
    *inside = r1x_slice(text, start, end);
    return true;
}

bool r1x_to_integer(r1x_text text, int64_t *integer) {
    bool negative = text.length && text.data[0] == '-';
    size_t at = negative || (text.length && text.data[0] == '+');
    if (at == text.length) return false;
    uint64_t value = 0, most = (uint64_t)INT64_MAX + negative;
    for (; at < text.length; at++) {
        if (!r1x_is_digit(text.data[at])) return false;
        unsigned digit = (unsigned)(text.data[at] - '0');
        if (value > (most - digit) / 10) return false;
        value = 10 * value + digit;
    }
    *integer = (int64_t)(negative ? 0 - value : value);
    return true;
}

/* Decimal digits without leading zeros, and the power of ten that the number they form is multiplied by. */
bool r1x_to_number(r1x_text text, double *number) {
    bool negative = text.length && text.data[0] == '-';
    size_t at = negative || (text.length && text.data[0] == '+');
    char *digits = r1x_aligned(text.length + 1, 1);
    size_t count = 0;
    long exponent = 0;
    bool any = false, point = false;
    for (; at < text.length; at++) {
        char c = text.data[at];
        if (c == '.' && !point) {
            point = true;
        } else if (r1x_is_digit(c)) {
            any = true;
            if (count || c != '0') digits[count++] = c;
            exponent -= point;
        } else {
            break;
        }
    }
    if (!any) return false;
    if (at < text.length && (text.data[at] | 32) == 'e') {
        int64_t written;
        if (!r1x_to_integer(r1x_slice(text, at + 1, text.length), &written)) return false;
        /* Past these nothing but zero and infinity is left, whatever the digits of a text in memory. */
        if (written > 200000000) written = 200000000;
        if (written < -200000000) written = -200000000;
        exponent += (long)written;
        at = text.length;
    }
    if (at < text.length) return false;
    double value = r1x_decimal(digits, count, exponent);
    *number = negative ? -value : value;
    return true;
}
