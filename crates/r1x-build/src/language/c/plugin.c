/* The plugin around an author's function: the exports that the host calls, in the layout of the component
 * model's canonical ABI. Must not know what a reward means. */
#include "r1x.h"
#include "r1x_build.h"
#include "r1x_memory.h"

#define EXPORT(name) __attribute__((export_name(name)))

/* --- layouts of reward.wit; a test compares them with the contract ------------------------------------- */

typedef struct {
    uint8_t some;
    r1x_text text;
} wit_option_text;

typedef struct {
    uint8_t some;
    double value;
} wit_option_f64;

typedef struct {
    uint64_t id;
    uint32_t group;
    wit_option_text prompt;
    r1x_text completion;
    uint32_t prompt_tokens, completion_tokens;
    uint8_t truncated;
    wit_option_text stop_reason;
    r1x_text columns;
    wit_option_text metadata;
} wit_rollout;

typedef struct {
    r1x_text name;
    double value;
} wit_part;

typedef struct {
    wit_option_f64 reward;
    wit_part *parts;
    size_t part_count;
    wit_option_text info;
} wit_score;

typedef struct {
    r1x_text *names;
    size_t count;
} wit_names;

typedef struct {
    r1x_text name, version, description;
    uint8_t needs;
    wit_names columns, optional_columns, parts;
    wit_option_f64 min, max;
    wit_option_text config_schema;
} wit_info;

typedef struct {
    uint8_t failed; /* 0: a list of scores or nothing; 1: an error */
    union {
        struct {
            wit_score *scores;
            size_t count;
        } list;
        struct {
            uint8_t kind;
            union {
                r1x_text sentence;
                struct {
                    uint32_t position;
                    r1x_text sentence;
                } sample;
            } of;
        } error;
    } of;
} wit_result;

enum { BAD_CONFIG, BAD_SAMPLE, OTHER };

_Static_assert(sizeof(wit_rollout) == R1X_SIZE_ROLLOUT, "the layout of a rollout");
_Static_assert(offsetof(wit_rollout, metadata) == R1X_LAST_ROLLOUT, "the layout of a rollout");
_Static_assert(sizeof(wit_score) == R1X_SIZE_SCORE, "the layout of a score");
_Static_assert(offsetof(wit_score, info) == R1X_LAST_SCORE, "the layout of a score");
_Static_assert(sizeof(wit_part) == R1X_SIZE_PART, "the layout of a part");
_Static_assert(offsetof(wit_part, value) == R1X_LAST_PART, "the layout of a part");
_Static_assert(sizeof(wit_info) == R1X_SIZE_PLUGIN_INFO, "the layout of plugin-info");
_Static_assert(offsetof(wit_info, config_schema) == R1X_LAST_PLUGIN_INFO, "the layout of plugin-info");

/* What r1x_part, r1x_info, r1x_abstain and r1x_fail keep of a score. */
struct r1x_score_more {
    wit_part *parts;
    size_t part_count, part_room;
    wit_option_text info;
    wit_option_text failure;
    bool abstains;
};

/* --- scores ------------------------------------------------------------------------------------------ */

void r1x_part(r1x_score *score, const char *name, double value) {
    struct r1x_score_more *more = score->more;
    if (more->part_count == more->part_room) {
        size_t room = more->part_room ? 2 * more->part_room : 4;
        wit_part *parts = r1x_alloc(room * sizeof *parts);
        memcpy(parts, more->parts, more->part_count * sizeof *parts);
        more->parts = parts;
        more->part_room = room;
    }
    more->parts[more->part_count++] = (wit_part){r1x_text_of(name), value};
}

static wit_option_text some_text(r1x_text text) {
    return (wit_option_text){1, text};
}

void r1x_info(r1x_score *score, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    score->more->info = some_text(r1x_formatted(format, arguments));
    va_end(arguments);
}

void r1x_fail(r1x_score *score, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    score->more->failure = some_text(r1x_formatted(format, arguments));
    va_end(arguments);
}

void r1x_abstain(r1x_score *score) {
    score->more->abstains = true;
}

/* --- messages ---------------------------------------------------------------------------------------- */

enum { LEVEL_INFO = 1 };

__attribute__((import_module("r1x:reward/log@0.1.0"), import_name("write")))
void host_log(uint32_t level, const char *data, size_t length);

void r1x_log(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    r1x_text message = r1x_formatted(format, arguments);
    va_end(arguments);
    host_log(LEVEL_INFO, message.data, message.length);
}

/* --- exports ----------------------------------------------------------------------------------------- */

/* What the author may leave out. */

__attribute__((weak)) void reward_batch(const r1x_rollout *rollouts, size_t count, r1x_score *scores) {
    for (size_t at = 0; at < count; at++) reward(&rollouts[at], &scores[at]);
}

__attribute__((weak)) const char *configure(r1x_json config) {
    if (!r1x_first(config).data) return NULL;
    return "this reward takes no configuration: give its file a function `configure`";
}

EXPORT("cabi_realloc") void *r1x_realloc(void *old, size_t old_bytes, size_t align, size_t bytes) {
    void *memory = r1x_aligned(bytes, align);
    if (old_bytes) memcpy(memory, old, old_bytes < bytes ? old_bytes : bytes);
    return memory;
}

static wit_names names(const char *const given[R1X_NAMES]) {
    wit_names list = {r1x_alloc(R1X_NAMES * sizeof(r1x_text)), 0};
    while (list.count < R1X_NAMES && given[list.count]) {
        list.names[list.count] = r1x_text_of(given[list.count]);
        list.count++;
    }
    return list;
}

EXPORT("info") wit_info *export_info(void) {
    wit_info *info = r1x_alloc(sizeof *info);
    info->name = R1X(R1X_PLUGIN_NAME);
    info->version = R1X(R1X_PLUGIN_VERSION);
    info->description = R1X(R1X_PLUGIN_DESCRIPTION);
    info->needs = (uint8_t)(about.prompt | about.metadata << 1 | about.groups << 2);
    info->columns = names(about.columns);
    info->optional_columns = names(about.optional_columns);
    info->parts = names(about.parts);
    if (about.min != about.max) {
        info->min = (wit_option_f64){1, about.min};
        info->max = (wit_option_f64){1, about.max};
    }
    if (about.config_schema) info->config_schema = some_text(r1x_text_of(about.config_schema));
    return info;
}

static wit_result *failed(uint8_t kind, r1x_text sentence) {
    wit_result *result = r1x_alloc(sizeof *result);
    result->failed = 1;
    result->of.error.kind = kind;
    result->of.error.of.sentence = sentence;
    return result;
}

EXPORT("configure") wit_result *export_configure(const char *data, size_t length) {
    r1x_text text = r1x_trim((r1x_text){data, length});
    if (text.length == 0 || r1x_equal(text, R1X("null"))) text = R1X("{}");
    if (text.data[0] != '{') return failed(BAD_CONFIG, R1X("the configuration must be an object"));
    const char *wrong = configure(text);
    if (wrong) return failed(BAD_CONFIG, r1x_text_of(wrong));
    wit_result *result = r1x_alloc(sizeof *result);
    /* What the author has read may point into the configuration, so it is never given back. */
    r1x_keep();
    return result;
}

static r1x_rollout read_rollout(const wit_rollout *given) {
    r1x_rollout rollout = {
        .completion = given->completion,
        .columns = given->columns,
        .id = given->id,
        .group = given->group,
        .prompt_tokens = given->prompt_tokens,
        .completion_tokens = given->completion_tokens,
        .truncated = given->truncated,
    };
    if (given->prompt.some) rollout.prompt = given->prompt.text;
    if (given->metadata.some) rollout.metadata = given->metadata.text;
    return rollout;
}

static wit_result *bad_sample(size_t position, r1x_text sentence) {
    wit_result *result = failed(BAD_SAMPLE, sentence);
    result->of.error.of.sample.position = (uint32_t)position;
    result->of.error.of.sample.sentence = sentence;
    return result;
}

static void write_score(const r1x_score *judged, wit_score *score) {
    const struct r1x_score_more *more = judged->more;
    /* A reward that nobody set is no number; the word before the reason tells the host that this is a failure. */
    bool unset = !more->abstains && judged->reward != judged->reward && !more->info.some;
    score->reward = (wit_option_f64){!more->abstains, judged->reward};
    score->parts = more->parts;
    score->part_count = more->part_count;
    score->info = unset ? some_text(R1X("r1x-failed:the function set no reward")) : more->info;
}

/* A column that is missing is told before the author's function could stumble over it. */
static const char *missing_column(const r1x_rollout *rollout) {
    for (size_t at = 0; at < R1X_NAMES && about.columns[at]; at++) {
        if (!r1x_column(rollout, about.columns[at]).data) return about.columns[at];
    }
    return NULL;
}

EXPORT("score-batch") wit_result *export_score_batch(const wit_rollout *batch, size_t count) {
    r1x_rollout *rollouts = r1x_alloc(count * sizeof *rollouts);
    r1x_score *judged = r1x_alloc(count * sizeof *judged);
    struct r1x_score_more *more = r1x_alloc(count * sizeof *more);
    for (size_t at = 0; at < count; at++) {
        rollouts[at] = read_rollout(&batch[at]);
        judged[at] = (r1x_score){__builtin_nan(""), &more[at]};
        const char *missing = missing_column(&rollouts[at]);
        if (missing) return bad_sample(at, r1x_format("column `%s` is missing", missing));
    }
    if (count) reward_batch(rollouts, count, judged);
    wit_result *result = r1x_alloc(sizeof *result);
    result->of.list.scores = r1x_alloc(count * sizeof(wit_score));
    result->of.list.count = count;
    for (size_t at = 0; at < count; at++) {
        if (more[at].failure.some) return bad_sample(at, more[at].failure.text);
        write_score(&judged[at], &result->of.list.scores[at]);
    }
    return result;
}

/* The host has read the result: everything of the call goes at once. */
EXPORT("cabi_post_info") void post_info(void *result) {
    (void)result;
    r1x_release();
}

EXPORT("cabi_post_configure") void post_configure(void *result) {
    (void)result;
    r1x_release();
}

EXPORT("cabi_post_score-batch") void post_score_batch(void *result) {
    (void)result;
    r1x_release();
}
