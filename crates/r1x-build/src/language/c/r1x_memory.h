/* What the parts of the SDK share and authors need not know. */
#ifndef R1X_MEMORY_H
#define R1X_MEMORY_H

#include "r1x.h"

/* Memory that is not zeroed, at a multiple of `align`. */
void *r1x_aligned(size_t bytes, size_t align);
/* Gives back everything since the last r1x_keep. */
void r1x_release(void);
/* What was allocated up to now is never given back. */
void r1x_keep(void);

r1x_text r1x_formatted(const char *format, va_list arguments);
r1x_text r1x_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number as decimal digits say it, rounded to nearest, ties to even. */
double r1x_decimal(const char *digits, size_t count, long exponent);
/* A finite number with `places` digits after the point, rounded to nearest, ties to even; at most 400 bytes. */
size_t r1x_fixed(double value, unsigned places, char *out);

#endif
