/* What a reward in C is given: types, one declaration, and helpers. There is no C library beside this.
 *
 * A reward is a file that says what it needs and defines one function:
 *
 *     #include "r1x.h"
 *
 *     const r1x_about about = {.columns = {"target"}, .min = 0, .max = 1};
 *
 *     void reward(const r1x_rollout *rollout, r1x_score *score) {
 *         score->reward = r1x_has(rollout->completion, R1X("7")) ? 1.0 : 0.0;
 *     }
 *
 * What helpers return lives until the call ends; nothing has to be freed. */
#ifndef R1X_H
#define R1X_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of text: UTF-8, not ended by a zero, and a zero may be inside. */
typedef struct {
    const char *data;
    size_t length;
} r1x_text;

/* A literal as a text. */
#define R1X(literal) ((r1x_text){(literal), sizeof(literal) - 1})

/* A JSON value, as a piece of the JSON text it stands in; `data` is NULL where there is none. */
typedef r1x_text r1x_json;

/* The most names in one list of `r1x_about`. */
#define R1X_NAMES 32

/* What the reward says about itself. Leave out what does not apply. */
typedef struct {
    const char *columns[R1X_NAMES];          /* columns that every problem must have */
    const char *optional_columns[R1X_NAMES]; /* columns that are passed on where there are some */
    const char *parts[R1X_NAMES];            /* names that r1x_part may be given */
    double min, max;                         /* range of the reward; equal means that there is none */
    bool prompt;                             /* fill in `prompt` */
    bool metadata;                           /* fill in `metadata` */
    bool groups;                             /* never split rollouts of one prompt over two calls */
    const char *config_schema;               /* JSON Schema of the configuration */
} r1x_about;

/* One completion to judge. */
typedef struct {
    r1x_text completion;
    r1x_text prompt;   /* empty unless `about.prompt` */
    r1x_json columns;  /* an object; r1x_column reads it */
    r1x_json metadata; /* an object; NULL unless `about.metadata` */
    uint64_t id;
    uint32_t group;    /* which rollouts of this call answer the same prompt */
    uint32_t prompt_tokens, completion_tokens;
    bool truncated;    /* the token limit ended the completion */
} r1x_rollout;

/* Its judgement. `reward` must be set, or r1x_abstain or r1x_fail be called. */
typedef struct r1x_score {
    double reward;
    struct r1x_score_more *more; /* of the helpers below */
} r1x_score;

/* --- what the author writes -------------------------------------------------------------------------- */

extern const r1x_about about;

/* Judges one rollout. */
void reward(const r1x_rollout *rollout, r1x_score *score);

/* Instead of `reward`, for scores that depend on each other: judges a whole call. */
void reward_batch(const r1x_rollout *rollouts, size_t count, r1x_score *scores);

/* If there is one: reads the configuration, an object. Returns NULL, or a sentence on what is wrong with it.
 * Without it a configuration that is not empty is refused. */
const char *configure(r1x_json config);

/* --- scores ------------------------------------------------------------------------------------------ */

/* A named sub-score; the name must be among `about.parts`. */
void r1x_part(r1x_score *score, const char *name, double value);
/* A few words on why, in the manner of printf: %s %.*s %c %d %u %x with l, ll or z, %.Nf and %%.
 * A text is given to `%.*s` as R1X_ARGS(text). */
void r1x_info(r1x_score *score, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define R1X_ARGS(text) ((int)(text).length), (text).data
/* No opinion, which is not the same as 0. */
void r1x_abstain(r1x_score *score);
/* The rollout cannot be judged at all, and why. */
void r1x_fail(r1x_score *score, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- columns and other JSON -------------------------------------------------------------------------- */

/* The value of a column; NULL data when there is none. */
r1x_json r1x_column(const r1x_rollout *rollout, const char *name);
/* The same as a number, a whole number or a text. False when it is missing or something else. */
bool r1x_column_number(const r1x_rollout *rollout, const char *name, double *number);
bool r1x_column_integer(const r1x_rollout *rollout, const char *name, int64_t *integer);
bool r1x_column_text(const r1x_rollout *rollout, const char *name, r1x_text *text);

/* The member of an object. */
r1x_json r1x_member(r1x_json object, const char *name);
/* The items of a list: for (r1x_json item = r1x_first(list); item.data; item = r1x_next(list, item)) ... */
r1x_json r1x_first(r1x_json list);
r1x_json r1x_next(r1x_json list, r1x_json item);
size_t r1x_length(r1x_json list);
/* What a value is: 'n'umber, 's'tring, 'b'oolean, '['list, '{'object, '0' for null, and 0 for none. */
char r1x_kind(r1x_json value);
bool r1x_as_number(r1x_json value, double *number);
bool r1x_as_integer(r1x_json value, int64_t *integer);
bool r1x_as_bool(r1x_json value, bool *boolean);
bool r1x_as_text(r1x_json value, r1x_text *text);

/* --- text -------------------------------------------------------------------------------------------- */

#define R1X_NOWHERE SIZE_MAX

r1x_text r1x_text_of(const char *zero_ended);
bool r1x_equal(r1x_text a, r1x_text b);
bool r1x_starts(r1x_text text, r1x_text start);
bool r1x_ends(r1x_text text, r1x_text end);
bool r1x_has(r1x_text text, r1x_text piece);
/* Where a piece begins, at `from` or later, or R1X_NOWHERE. */
size_t r1x_find(r1x_text text, r1x_text piece, size_t from);
/* Where its last occurrence begins, or R1X_NOWHERE. */
size_t r1x_find_last(r1x_text text, r1x_text piece);
/* From one position up to another; positions past the end are the end. */
r1x_text r1x_slice(r1x_text text, size_t from, size_t to);
/* Without white space at both ends. */
r1x_text r1x_trim(r1x_text text);
/* With ASCII letters in lower case. */
r1x_text r1x_lower(r1x_text text);
/* Between the last `open` and the first `close` after it. */
bool r1x_between_last(r1x_text text, r1x_text open, r1x_text close, r1x_text *inside);
/* The whole text as a number or a whole number, in decimal. */
bool r1x_to_number(r1x_text text, double *number);
bool r1x_to_integer(r1x_text text, int64_t *integer);

bool r1x_is_space(char c);
bool r1x_is_digit(char c);
bool r1x_is_letter(char c);

/* --- the rest ---------------------------------------------------------------------------------------- */

/* Memory until the call ends, zeroed. In `configure` it stays for good. */
void *r1x_alloc(size_t bytes);
/* A message to the people who run the plugin. */
void r1x_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);

#endif
