/* A reader of JSON in place. The host writes the text, so it is well formed; a piece that an author cut wrongly
 * is answered with "none", never read past its end. */
#include "r1x_memory.h"

static const r1x_json NONE = {NULL, 0};

static size_t skip_space(r1x_json text, size_t at) {
    while (at < text.length && r1x_is_space(text.data[at])) at++;
    return at;
}

/* The position after the string that begins at `at`. */
static size_t skip_string(r1x_json text, size_t at) {
    for (at++; at < text.length; at++) {
        if (text.data[at] == '\\') {
            at++;
        } else if (text.data[at] == '"') {
            return at + 1;
        }
    }
    return text.length;
}

/* The position after the value that begins at `at`. */
static size_t skip_value(r1x_json text, size_t at) {
    size_t depth = 0;
    while (at < text.length) {
        char c = text.data[at];
        if (c == '"') {
            at = skip_string(text, at);
        } else if (c == '[' || c == '{') {
            depth++;
            at++;
            continue;
        } else if (c == ']' || c == '}') {
            if (depth == 0) return at;
            depth--;
            at++;
        } else if (c == ',' || c == ':' || r1x_is_space(c)) {
            if (depth == 0) return at;
            at++;
            continue;
        } else {
            while (at < text.length && !r1x_is_space(text.data[at]) && text.data[at] != ',' &&
                   text.data[at] != ']' && text.data[at] != '}' && text.data[at] != ':') {
                at++;
            }
        }
        if (depth == 0) return at;
    }
    return text.length;
}

static r1x_json value_at(r1x_json text, size_t at) {
    at = skip_space(text, at);
    size_t end = skip_value(text, at);
    return end > at ? (r1x_json){text.data + at, end - at} : NONE;
}

char r1x_kind(r1x_json value) {
    if (!value.data || value.length == 0) return 0;
    char c = value.data[0];
    if (c == '"') return 's';
    if (c == 't' || c == 'f') return 'b';
    if (c == 'n') return '0';
    if (c == '-' || r1x_is_digit(c)) return 'n';
    return c == '[' || c == '{' ? c : 0;
}

r1x_json r1x_first(r1x_json list) {
    char kind = r1x_kind(list);
    return kind == '[' || kind == '{' ? value_at(list, 1) : NONE;
}

r1x_json r1x_next(r1x_json list, r1x_json item) {
    if (!list.data || !item.data) return NONE;
    size_t at = skip_space(list, (size_t)(item.data + item.length - list.data));
    if (at >= list.length || list.data[at] != ',') return NONE;
    return value_at(list, at + 1);
}

size_t r1x_length(r1x_json list) {
    size_t length = 0;
    if (r1x_kind(list) != '[') return 0;
    for (r1x_json item = r1x_first(list); item.data; item = r1x_next(list, item)) length++;
    return length;
}

r1x_json r1x_member(r1x_json object, const char *name) {
    if (r1x_kind(object) != '{') return NONE;
    r1x_text wanted = r1x_text_of(name);
    r1x_json key = r1x_first(object);
    while (key.data) {
        size_t colon = skip_space(object, (size_t)(key.data + key.length - object.data));
        r1x_json value = value_at(object, colon + 1);
        r1x_text text;
        /* Most names have no escapes, and then nothing needs to be copied. */
        bool plain = key.length == wanted.length + 2 && memcmp(key.data + 1, wanted.data, wanted.length) == 0;
        if (plain || (r1x_as_text(key, &text) && r1x_equal(text, wanted))) return value;
        key = r1x_next(object, value);
    }
    return NONE;
}

bool r1x_as_number(r1x_json value, double *number) {
    return r1x_kind(value) == 'n' && r1x_to_number(value, number);
}

bool r1x_as_integer(r1x_json value, int64_t *integer) {
    return r1x_kind(value) == 'n' && r1x_to_integer(value, integer);
}

bool r1x_as_bool(r1x_json value, bool *boolean) {
    if (r1x_kind(value) != 'b') return false;
    *boolean = value.data[0] == 't';
    return true;
}

/* Four hexadecimal digits, or -1. */
static int32_t read_hex(r1x_json text, size_t at) {
    int32_t value = 0;
    for (size_t end = at + 4; at < end; at++) {
        char c = at < text.length ? text.data[at] : 0;
        int digit = r1x_is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = 16 * value + digit;
    }
    return value;
}

static size_t write_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    for (size_t at = more; at > 0; at--, c >>= 6) out[at] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | c);
    return more + 1;
}

/* The character of the escape whose `u` stands at `at`; moves past it. Half a pair is U+FFFD. */
static uint32_t read_escape(r1x_json text, size_t *at) {
    int32_t first = read_hex(text, *at + 1);
    *at += 5;
    if (first < 0) return 0xfffd;
    if (first < 0xd800 || first > 0xdfff) return (uint32_t)first;
    bool follows = first < 0xdc00 && *at + 1 < text.length && text.data[*at] == '\\' && text.data[*at + 1] == 'u';
    int32_t second = follows ? read_hex(text, *at + 2) : -1;
    if (second < 0xdc00 || second > 0xdfff) return 0xfffd;
    *at += 6;
    return 0x10000 + ((uint32_t)(first - 0xd800) << 10) + (uint32_t)(second - 0xdc00);
}

bool r1x_as_text(r1x_json value, r1x_text *text) {
    if (r1x_kind(value) != 's' || value.length < 2 || value.data[value.length - 1] != '"') return false;
    r1x_text inside = r1x_slice(value, 1, value.length - 1);
    if (r1x_find(inside, R1X("\\"), 0) == R1X_NOWHERE) {
        *text = inside;
        return true;
    }
    /* An escape is never shorter than what it stands for. */
    char *out = r1x_aligned(inside.length, 1);
    size_t length = 0;
    for (size_t at = 0; at < inside.length;) {
        if (inside.data[at] != '\\' || at + 1 == inside.length) {
            out[length++] = inside.data[at++];
            continue;
        }
        char c = inside.data[++at];
        if (c == 'u') {
            length += write_utf8(out + length, read_escape(inside, &at));
            continue;
        }
        out[length++] = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
        at++;
    }
    *text = (r1x_text){out, length};
    return true;
}

r1x_json r1x_column(const r1x_rollout *rollout, const char *name) {
    return r1x_member(rollout->columns, name);
}

bool r1x_column_number(const r1x_rollout *rollout, const char *name, double *number) {
    return r1x_as_number(r1x_column(rollout, name), number);
}

bool r1x_column_integer(const r1x_rollout *rollout, const char *name, int64_t *integer) {
    return r1x_as_integer(r1x_column(rollout, name), integer);
}

bool r1x_column_text(const r1x_rollout *rollout, const char *name, r1x_text *text) {
    return r1x_as_text(r1x_column(rollout, name), text);
}
