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

/* Takes the next field off `message`. Returns 1, at the end 0, and -1 for damage and for groups, which OTLP lacks. */
int next_field(Bytes *message, Field *field);

/* Tells whether `text` is UTF-8: no surrogates, nothing longer than it has to be. */
int is_utf8(Bytes text);

/* Reads a `KeyValue`; returns -1 unless it is sound throughout, each field once, and holds nothing unknown. */
int read_key_value(Bytes message, Bytes *key, Bytes *value);

/* Takes a `Span` apart. */
enum outcome read_span(Span *span, Bytes message, const EventNames *events);

/* An `AnyValue` that `read_key_value` has given. */
extern const Form any_value_form;
/* A text of a message, checked before. */
extern const Form text_form;

#pragma GCC visibility pop

#endif
