/* Spans of OTLP in slices, for `_packed_otlp.c`. Field numbers are those of opentelemetry-proto 1.9, trace.proto. */

#include "_packed_otlp.h"

#define MAX_EVENTS 1024 /* later ones of a span are not looked at: see `events.py` */
#define STATUS_OK 1
#define MAX_DROPPED 255

static const uint8_t nothing[1];

static int is_key_value(Bytes message)
{
    Bytes key, value;
    return split_key_value(message, &key, &value) == 0 && is_utf8(key) && check_any_value(value) == 0;
}

static enum outcome read_event(Span *span, Bytes message, const EventNames *events)
{
    Bytes whole = message, name = {nothing, nothing};
    Field field;
    int more;
    while ((more = next_field(&message, &field)) > 0) {
        if (field.number == 2 && field.type == LENGTH && is_utf8(field.bytes))
            name = field.bytes;
        else if (field.number == 1 ? field.type != FIXED_64
                 : field.number == 3 ? field.type != LENGTH || !is_key_value(field.bytes)
                                     : field.number == 2)
            return REFUSED;
    }
    for (uint32_t kept = 0; kept < events->size; kept++)
        span->is_odd |= is_same(name, events->kept[kept]);
    if (is_same(name, events->evaluation)) {
        if (span->judgements < MAX_JUDGEMENTS)
            span->judgement[span->judgements++] = whole;
        else
            span->is_odd = 1;
    }
    span->is_odd |= ++span->events > MAX_EVENTS;
    return more < 0 ? REFUSED : READ;
}

static enum outcome read_status(Span *span, Bytes message)
{
    Field field;
    int more;
    if (span->has_status++)
        return REFUSED;
    while ((more = next_field(&message, &field)) > 0) {
        if (field.number == 3 && field.type == VARINT)
            span->status = field.integer;
        else if (field.number == 3 || (field.number == 2 && (field.type != LENGTH || !is_utf8(field.bytes))))
            return REFUSED;
    }
    return more < 0 ? REFUSED : READ;
}

static enum outcome read_field(Span *span, const Field *field, const EventNames *events)
{
    static const int8_t types[] = {-1,       LENGTH, LENGTH, LENGTH, LENGTH, LENGTH, VARINT,  FIXED_64, FIXED_64,
                                   LENGTH, VARINT, LENGTH, -1,     -1,     -1,     LENGTH, FIXED_32};
    if (field->number >= sizeof types || types[field->number] < 0)
        return READ; /* nothing that is stored */
    if ((int)field->type != types[field->number])
        return REFUSED;
    switch (field->number) {
    case 1:
        span->trace_id = field->bytes;
        break;
    case 2:
        span->span_id = field->bytes;
        break;
    case 3:
        span->trace_state = field->bytes;
        return is_utf8(field->bytes) ? READ : REFUSED;
    case 4:
        span->parent = field->bytes;
        break;
    case 5:
        span->name = field->bytes;
        return is_utf8(field->bytes) ? READ : REFUSED;
    case 6:
        span->kind = field->integer;
        break;
    case 7:
        span->start_ns = field->integer;
        break;
    case 8:
        span->end_ns = field->integer;
        break;
    case 9:
        if (span->size == MAX_ATTRIBUTES) {
            span->is_odd = 1;
            span->size = 0;
        }
        if (split_key_value(field->bytes, &span->names[span->size], &span->values[span->size]) < 0)
            return REFUSED;
        span->size++;
        break;
    case 10:
        span->dropped = field->integer;
        break;
    case 11:
        return read_event(span, field->bytes, events);
    case 15:
        return read_status(span, field->bytes);
    default:
        span->flags = field->integer;
    }
    return READ;
}

enum outcome read_span(Span *span, Bytes message, const EventNames *events)
{
    Field field;
    int more;
    memset(span, 0, offsetof(Span, judgement)); /* not the slices: they are many */
    span->trace_id = span->span_id = span->parent = span->name = span->trace_state = (Bytes){nothing, nothing};
    while ((more = next_field(&message, &field)) > 0) {
        enum outcome outcome = read_field(span, &field, events);
        if (outcome != READ)
            return outcome;
    }
    if (more < 0 || size_of(span->trace_id) != TRACE_ID_BYTES || size_of(span->span_id) != SPAN_ID_BYTES ||
        is_zero(span->trace_id.at, TRACE_ID_BYTES) || is_zero(span->span_id.at, SPAN_ID_BYTES) ||
        span->start_ns > INT64_MAX || span->end_ns > INT64_MAX || span->kind > INT32_MAX ||
        span->dropped > UINT32_MAX || span->status > INT32_MAX)
        return REFUSED;
    if (size_of(span->parent) != SPAN_ID_BYTES)
        span->parent = (Bytes){nothing, nothing};
    return span->is_odd || span->status > STATUS_OK || span->dropped > MAX_DROPPED ? ODD : READ;
}
