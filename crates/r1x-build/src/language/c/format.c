/* A small printf into memory of the call. */
#include "r1x_memory.h"

typedef struct {
    char *data;
    size_t length, room;
} buffer;

static void append(buffer *out, const char *data, size_t length) {
    if (length > out->room - out->length) {
        size_t room = 2 * (out->room + length);
        char *grown = r1x_aligned(room, 1);
        memcpy(grown, out->data, out->length);
        out->data = grown;
        out->room = room;
    }
    memcpy(out->data + out->length, data, length);
    out->length += length;
}

static void append_integer(buffer *out, uint64_t value, bool negative, unsigned base) {
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative) digits[--at] = '-';
    append(out, digits + at, sizeof digits - at);
}

static void append_number(buffer *out, double value, int places) {
    char digits[420];
    if (value != value) {
        append(out, "nan", 3);
    } else if (value - value != 0) {
        append(out, value < 0 ? "-inf" : "inf", value < 0 ? 4 : 3);
    } else {
        unsigned wanted = places < 0 ? 6 : places > 40 ? 40 : (unsigned)places;
        append(out, digits, r1x_fixed(value, wanted, digits));
    }
}

static void append_text(buffer *out, const char *text, int most) {
    if (!text) text = "(null)", most = most < 0 || most > 6 ? 6 : most;
    append(out, text, most < 0 ? strlen(text) : (size_t)most);
}

/* What stands between `%` and its letter. */
typedef struct {
    int precision; /* -1 where there is none */
    bool wide;     /* 64 bits */
} modifiers;

static const char *read_modifiers(const char *format, modifiers *found, va_list *arguments) {
    *found = (modifiers){-1, false};
    if (*format == '.') {
        found->precision = 0;
        if (*++format == '*') {
            found->precision = va_arg(*arguments, int);
            format++;
        }
        for (; r1x_is_digit(*format); format++) found->precision = 10 * found->precision + (*format - '0');
    }
    /* `long` and `size_t` have 32 bits in WebAssembly, as `int` has; `long long` has 64. */
    for (; *format == 'l' || *format == 'z'; format++) found->wide |= format[0] == 'l' && format[1] == 'l';
    return format;
}

r1x_text r1x_formatted(const char *format, va_list given) {
    buffer out = {r1x_aligned(64, 1), 0, 64};
    va_list arguments;
    va_copy(arguments, given);
    while (*format) {
        size_t plain = 0;
        while (format[plain] && format[plain] != '%') plain++;
        append(&out, format, plain);
        format += plain;
        if (*format++ != '%') break;
        modifiers found;
        format = read_modifiers(format, &found, &arguments);
        char letter = *format ? *format++ : '%';
        if (letter == 's') {
            append_text(&out, va_arg(arguments, const char *), found.precision);
        } else if (letter == 'd' || letter == 'i') {
            int64_t value = found.wide ? va_arg(arguments, long long) : va_arg(arguments, int);
            append_integer(&out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, 10);
        } else if (letter == 'u' || letter == 'x') {
            uint64_t value = found.wide ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned);
            append_integer(&out, value, false, letter == 'x' ? 16 : 10);
        } else if (letter == 'c') {
            char c = (char)va_arg(arguments, int);
            append(&out, &c, 1);
        } else if (letter == 'f') {
            append_number(&out, va_arg(arguments, double), found.precision);
        } else {
            append(&out, &letter, 1);
        }
    }
    va_end(arguments);
    return (r1x_text){out.data, out.length};
}

r1x_text r1x_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    r1x_text text = r1x_formatted(format, arguments);
    va_end(arguments);
    return text;
}
