/* OTLP on the wire: what the files of `_packed_otlp.c` share. */

#ifndef TRACECANARY_PACKED_OTLP_H
#define TRACECANARY_PACKED_OTLP_H

#include "_packed.h"

enum wire_type { VARINT = 0, FIXED_64 = 1, LENGTH = 2, FIXED_32 = 5 };

typedef struct {
    uint32_t number;
    enum wire_type type;
    uint64_t integer; /* of the other types */
    Bytes bytes;      /* of `LENGTH` */
} Field;

#define MAX_ATTRIBUTES 128
#define MAX_JUDGEMENTS 8

/* A span in slices of its request. */
typedef struct {
    Bytes trace_id, span_id, parent, name, trace_state; /* the parent is empty where there is none */
    uint64_t start_ns, end_ns;
    uint64_t kind, dropped, flags, status;
    uint32_t events, size, judgements;
    int is_odd, has_status;
    Bytes judgement[MAX_JUDGEMENTS]; /* events that tell an evaluation */
    Bytes names[MAX_ATTRIBUTES], values[MAX_ATTRIBUTES];
} Span;

/* The names of events that tell something. */
#define MAX_KEPT_EVENTS 32
typedef struct {
    Bytes kept[MAX_KEPT_EVENTS], evaluation;
    uint32_t size;
} EventNames;

typedef struct {
    Group group;
    uint64_t hash;
    uint32_t resource, scope;
    int32_t kind;
    uint32_t next; /* the shape that came after it the last time, plus 1 */
    Bytes *names;  /* of its attributes */
} Shape;

#define MAX_SHAPES 1024
#define SLOTS (4 * MAX_SHAPES)
typedef struct {
    Shape *shape;
    uint32_t size, capacity;
    uint32_t last;         /* whose span came last, plus 1 */
    uint16_t slots[SLOTS]; /* a place in `shape`, plus 1 */
} Shapes;

/* ODD is a span for which there are no columns, REFUSED what a full decoder might refuse or read in another way. */
enum outcome { READ, ODD, REFUSED, NO_MEMORY };

static inline size_t size_of(Bytes bytes)
{
    return (size_t)(bytes.end - bytes.at);
}

static inline int is_same(Bytes one, Bytes other)
{
    return size_of(one) == size_of(other) && memcmp(one.at, other.at, size_of(one)) == 0;
}

#pragma GCC visibility push(hidden)

int next_long_field(Bytes *message, Field *field);

/* Takes the next field off `message`. Returns 1, at the end 0, and -1 for damage and for groups, which OTLP lacks. */
static inline int next_field(Bytes *message, Field *field)
{
    const uint8_t *at = message->at;
    ptrdiff_t left = message->end - at;
    /* Most fields are short and of bytes: tag and length take one byte each. */
    if (left < 2 || (at[0] & 0x87) != LENGTH || at[0] < 8 || at[1] >= 0x80 || at[1] > left - 2)
        return next_long_field(message, field);
    field->number = at[0] >> 3;
    field->type = LENGTH;
    field->integer = 0;
    field->bytes = (Bytes){at + 2, at + 2 + at[1]};
    message->at = field->bytes.end;
    return 1;
}

/* Tells whether `text` is UTF-8: no surrogates, nothing longer than it has to be. */
int is_utf8(Bytes text);

/* Gives the parts of a `KeyValue`, unchecked; returns -1 unless it has each once at most, and nothing unknown. */
int split_key_value(Bytes message, Bytes *key, Bytes *value);

/* Returns -1 unless `message` is an `AnyValue` that is sound throughout and holds nothing unknown. */
int check_any_value(Bytes message);

/* Takes a `Span` apart. Attributes are unchecked: most are the same as those of other spans. */
enum outcome read_span(Span *span, Bytes message, const EventNames *events);

/* Finds or adds the shape of a span whose resource and scope have these numbers; ODD when it can have none. */
enum outcome next_shape(Shapes *shapes, const Span *span, uint32_t resource, uint32_t scope, Shape **found);
void end_shapes(Shapes *shapes);

/* An `AnyValue`, checked before. */
extern const Form any_value_form;
/* A text of a message, checked before. */
extern const Form text_form;

#pragma GCC visibility pop

#endif
